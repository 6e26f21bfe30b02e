/**
 * The judge of the mutation run is judged: what survives, what was never tested and what dies are told apart.
 *
 * Its canaries are mutants of one small file with one cheap killer.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkKillers, runMutants } from './lib/mutation-run.mjs'

const file = 'storage/ring-log/recovery'
const killer = { kind: 'test', file: 'storage/ring-log/recovery-table', name: 'nothing counts that does not check' }
const options = { jobs: 2, seed: '00000001' }

const real = {
  bug: 'recovery keeps what lies behind a torn entry',
  file,
  find: "body: no, durable: no }, then: 'torn' }",
  put: "body: no, durable: no }, then: 'hole-body' }",
  killers: [killer],
}

async function verdictOf(mutant) {
  const lines = []
  const counts = await runMutants([mutant], { ...options, print: (line) => lines.push(line) })
  return { word: lines[0].split(/ {2,}/)[0], why: lines[0], killed: counts.killed }
}

test('a bug that a test notices is killed, and the test is named', async () => {
  const { word, why, killed } = await verdictOf(real)
  assert.deepEqual([word, killed], ['killed', 1])
  assert.match(why, /by storage\/ring-log\/recovery-table: nothing counts that does not check, nothing durable is cut/)
})

test('a change that breaks nothing survives', async () => {
  const harmless = { ...real, bug: 'none', find: 'const no = [false];', put: 'const no = [false, false];' }
  const { word, killed } = await verdictOf(harmless)
  assert.deepEqual([word, killed], ['SURVIVED', 0])
})

test('a mutant of a file that its killer never loads was not tested', async () => {
  const elsewhere = { ...real, file: 'storage/write-back/lane', find: 'await device.sync();', put: '' }
  assert.deepEqual((await verdictOf(elsewhere)).word, 'NOT TESTED')
})

test('a mutant whose piece of code is gone was not tested, although its killer fails on it', async () => {
  const { word, why } = await verdictOf({ ...real, find: 'a piece that nobody wrote' })
  assert.equal(word, 'NOT TESTED')
  assert.match(why, /is there 0 times, not once/)
})

test('what merely takes too long has killed only what is said to stop progress', async () => {
  const endless = { ...real, find: 'const no = [false];', put: 'const no = [false]; for (;;);' }
  const limits = { killer: 2, hang: 2 }
  const lines = []
  const print = (line) => lines.push(line)
  const { killed } = await runMutants([endless, { ...endless, hangs: true }], { ...options, jobs: 1, limits, print })
  assert.equal(killed, 1)
  assert.match(lines[0], /^TOO SLOW/)
  assert.match(lines[1], /^killed .*no end within 2 s$/s)
})

test('killers that are not there, or fail by themselves, are told before any mutant is judged', async () => {
  const lines = []
  const print = (line) => lines.push(line)
  const gone = { ...real, killers: [{ ...killer, name: 'a test that nobody wrote' }] }
  assert.equal(await checkKillers([gone], { ...options, print }), null)
  assert.match(lines[0], /is not there: a test that nobody wrote/)
  assert.notEqual(await checkKillers([real], { ...options, print }), null)
})
