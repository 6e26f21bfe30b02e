/**
 * What a command line loads: a verb that only asks a daemon loads nothing of what makes one.
 *
 * A hook of the module loader writes down each file; modules are counted, because time depends on the machine.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { agentProgram, primaryProgram } from '../support/places.js'
import { runCommand } from '../support/program.js'

const asData = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`

const hook = asData(`import { writeSync } from 'node:fs'
export async function load(url, context, next) {
  if (url.startsWith('file:')) writeSync(2, 'loads ' + url + '\\n')
  return next(url, context)
}`)
const registers = asData(`import { register } from 'node:module'; register(${JSON.stringify(hook)})`)

/** Files that a command line loads. */
async function loadedBy(program: string, words: readonly string[]): Promise<string[]> {
  const { stderr } = await runCommand(process.execPath, ['--import', registers, program, ...words])
  return [...stderr.matchAll(/^loads (.*)$/gm)].map(([, url]) => url as string)
}

/** As many as there were when this was written, and a few more. */
const MODULES_MAX = 85

for (const [program, words] of [
  [primaryProgram, ['--version']],
  [primaryProgram, ['status', '--state', '/nowhere']],
  [primaryProgram, ['slink', 'ls', '--state', '/nowhere']],
  [primaryProgram, ['slink', 'set', '1', '--policy', 'async', '--state', '/nowhere']],
  [primaryProgram, ['device', 'add', '0', '/nowhere', '--name', 'data', '--state', '/nowhere']],
  [agentProgram, ['--version']],
  [agentProgram, ['status', '--state', '/nowhere']],
] as const) {
  test(`${program.split('/').at(-1)} ${words.join(' ')} loads no daemon`, async () => {
    const urls = await loadedBy(program, words)
    assert.ok(urls.length > 20, `the hook saw ${urls.length} modules`)
    assert.deepEqual(
      urls.filter((url) => /packages\/\w+\/dist\/src\/index\.js$/.test(url)),
      [],
    )
    assert.ok(urls.length <= MODULES_MAX, `${urls.length} modules`)
  })
}

test('the hook sees what a daemon loads', async () => {
  const urls = await loadedBy(primaryProgram, ['run', '--state', '/nowhere'])
  assert.ok(urls.length > MODULES_MAX, `${urls.length} modules`)
})
