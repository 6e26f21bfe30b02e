/**
 * The bundle of the programs: the same programs, chosen only where it hides nothing.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { programFile } from '../packages/daemon/bin/start.js'
import { makeBundle } from './lib/bundle.mjs'
import { root } from './lib/workspace.mjs'

const folder = mkdtempSync(join(tmpdir(), 'sitelink-bundle-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const bundle = join(folder, 'bundle')
const packages = ['protocol', 'storage', 'nbd', 'daemon', 'primary', 'agent']
await makeBundle(bundle)

function answerOf(file, ...words) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...words], { encoding: 'utf8' })
  return { status, stdout, stderr }
}

/** A tree of packages that were all compiled at second 100, and a bundle made at `bundledAt`. */
function makeTree(bundledAt) {
  const top = join(mkdtempSync(join(folder, 'tree-')), 'packages')
  const write = (path, seconds) => {
    mkdirSync(join(top, path, '..'), { recursive: true })
    writeFileSync(join(top, path), '')
    utimesSync(join(top, path), seconds, seconds)
  }
  for (const each of packages) write(`${each}/dist/.tsbuildinfo`, 100)
  if (bundledAt !== null) write('daemon/dist/bundle/sitelink.js', bundledAt)
  return { top, write, chosen: (env = {}) => chosenIn(top, env) }
}

function chosenIn(top, env) {
  const main = new URL('main.js', import.meta.url)
  const file = programFile('sitelink', main, { env, packages: pathToFileURL(`${top}/`) })
  return file === main ? 'compiled' : basename(join(file.pathname, '..'))
}

test('a program starts from the bundle only where nothing was compiled after it, in any package', () => {
  assert.equal(makeTree(null).chosen(), 'compiled')
  assert.equal(makeTree(99).chosen(), 'compiled')
  assert.equal(makeTree(200).chosen(), 'bundle')
  for (const each of packages) {
    const { top, write, chosen } = makeTree(200)
    write(`${each}/dist/.tsbuildinfo`, 300)
    assert.equal(chosen(), 'compiled', each)
    rmSync(join(top, each, 'dist', '.tsbuildinfo'))
    assert.equal(chosen(), 'compiled', `nobody knows when ${each} was compiled`)
  }
})

test('a program does not start from a bundle that was made before something was installed', () => {
  const { write, chosen } = makeTree(200)
  const at = (seconds) => {
    write('../node_modules/.modules.yaml', seconds)
    return chosen()
  }
  assert.equal(at(100), 'bundle')
  assert.equal(at(300), 'compiled')
})

test('with SITELINK_BUNDLE=0, which tests and mutants have, a program starts from what was compiled', () => {
  assert.equal(makeTree(200).chosen({ SITELINK_BUNDLE: '0' }), 'compiled')
  assert.equal(process.env.SITELINK_BUNDLE, '0')
})

test('the packages that are compared are those that there are', () => {
  assert.deepEqual(readdirSync(join(root, 'packages')).sort(), packages.toSorted())
})

test('a bundled program says the same of itself and of a mistake as the compiled one', () => {
  for (const [name, package_] of [
    ['sitelink', 'primary'],
    ['sitelink-agent', 'agent'],
  ]) {
    const program = join(root, 'packages', package_, 'bin', `${name}.js`)
    for (const words of [['--version'], ['--help'], ['status', '--state', join(folder, 'nowhere')]])
      assert.deepEqual(answerOf(join(bundle, `${name}.js`), ...words), answerOf(program, ...words), words.join(' '))
  }
})

/** What a daemon said at its start and its stop besides that all is well; optional libraries that it misses among it. */
async function complaintsOf(program, name) {
  const state = join(folder, name)
  const made = answerOf(program, 'init', '--state', state, '--log', join(folder, `${name}.log`), '--log-size', '8m')
  assert.equal(made.status, 0, made.stderr)
  const child = spawn(process.execPath, [program, 'run', '--state', state], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    said += text
    if (/"message":"ready"/.test(said) && !child.killed) child.kill('SIGTERM')
  })
  const status = await new Promise((resolve) => child.once('close', resolve))
  assert.equal(status, 0, said)
  const lines = said.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line)).flatMap(({ level, message }) => (level === 'info' ? [] : [message]))
}

test('a bundled daemon has the libraries that the compiled one has, and stops cleanly', async () => {
  const compiled = await complaintsOf(join(root, 'packages', 'primary', 'bin', 'sitelink.js'), 'compiled')
  assert.deepEqual(await complaintsOf(join(bundle, 'sitelink.js'), 'bundled'), compiled)
})

test('every module of the bundle looks for its package and its libraries where the compiled one does', () => {
  const texts = readdirSync(bundle).map((name) => readFileSync(join(bundle, name), 'utf8'))
  const uses = texts.flatMap((text) => text.split('\n')).filter((line) => line.includes('import.meta'))
  assert.ok(uses.length > 5)
  for (const line of uses) assert.match(line, /new URL\("[^"]+\/(dist\/src|node_modules)\/[^"]+", import\.meta\.url\)/)
})
