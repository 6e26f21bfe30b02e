/** What the tests' own child processes promise. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runCommand } from './program.js'

test('a command that prints without end is ended, and what it said first is kept', async () => {
  const result = await runCommand(process.execPath, [
    '-e',
    `const line = 'lost '.repeat(10_000)
     const say = () => { while (process.stderr.write(line)); process.stderr.once('drain', say) }
     process.stdout.write('begun', say)`,
  ])
  assert.equal(result.signal, 'SIGKILL')
  assert.equal(result.stdout, 'begun')
  assert.match(result.stderr, /^lost lost/)
})
