/**
 * Canaries for `pnpm test`: a failing test, a file without tests, a file that dies and one that hangs must all fail the run.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { runFiles } from './test.mjs'

const bodies = {
  passing: "import { test } from 'node:test'\ntest('a', () => {})\ntest('b', (t) => t.diagnostic('seed 12'))",
  failing: "import { test } from 'node:test'\ntest('a', () => {})\ntest('b', () => { throw new Error('broken') })",
  empty: 'export {}',
  dying: "import { test } from 'node:test'\ntest('a', () => {})\ntest('b', () => process.kill(process.pid, 'SIGKILL'))",
  hanging: "import { test } from 'node:test'\ntest('a', () => new Promise(() => setInterval(() => {}, 1000)))",
}

async function runBody(name) {
  const folder = mkdtempSync(join(tmpdir(), 'sitelink-runner-'))
  const lines = []
  try {
    const path = join(folder, `${name}.test.mjs`)
    writeFileSync(path, bodies[name])
    const counts = await runFiles([[path, path]], {
      secondsMax: name === 'hanging' ? 2 : 60,
      print: (line) => lines.push(line),
    })
    return { line: counts.line, text: lines.join('\n') }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('passing tests are counted and their diagnostics are shown', async () => {
  const { line, text } = await runBody('passing')
  assert.equal(line, '2 passed, 0 failed, 0 skipped')
  assert.match(text, /seed 12/)
})

test('a failing test is counted with its reason', async () => {
  const { line, text } = await runBody('failing')
  assert.equal(line, '1 passed, 1 failed, 0 skipped')
  assert.match(text, /broken/)
})

test('a file that runs no test fails', async () => {
  assert.match((await runBody('empty')).line, /1 failed/)
})

test('a file that is killed fails', async () => {
  assert.match((await runBody('dying')).line, /[1-9] failed/)
})

test('a file that hangs is ended and fails', async () => {
  const { line, text } = await runBody('hanging')
  assert.match(line, /1 failed/)
  assert.match(text, /longer than 2 s/)
})
