/**
 * The simulation in CI: many lives, and proof that a seed is one life and no other.
 *
 * SIM_SEEDS: how many lives (default 1000). SIM_SEED: where they come from; the same ones by default, so that a change is
 * judged by what it changed, while `pnpm sim` draws fresh ones. What a failed life says includes the command that
 * lives it again.
 */
import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { runLives } from './run.js'
import { live } from './worker.js'

const seed = process.env['SIM_SEED'] ?? 'lives'
console.log(`sim: SIM_SEED=${seed}`)

/** Lives that once broke a promise, or a rule of the simulation itself; each was a fault that nothing else had shown. */
const ONCE_FAILED = [
  'proof/264 proof/1190 proof/1383 proof/1475 proof/1504 proof/1616 proof/1780 proof/2045 proof/2092 proof/2595',
  'proof/3146 proof/3206 proof/3293 proof/3306 proof/3398 proof/3964 proof/5101 proof/5839 proof/6798 proof/7586',
  'proof/7590 proof/7845 proof/8187 proof/9177 proof/9459 proof/20065 proof/21654 proof/46750',
  'proof/61263 proof/61758 proof/97741',
  'lives/735',
].flatMap((line) => line.split(' '))

test('lives that once failed keep every promise', async () => {
  for (const life of ONCE_FAILED) {
    const { failure } = await live(life, false)
    assert.equal(failure, null, `${failure?.report}\n\nreplay it with: pnpm sim --replay ${life}`)
  }
})

test('the same seed is the same life, byte for byte', async () => {
  const lives = Array.from({ length: 6 }, (_, at) => `${seed}/again/${at}`)
  const there = new Map<string, string>()
  await runLives({
    seed: `${seed}/again`,
    count: lives.length,
    jobs: 2,
    failuresMax: lives.length,
    digest: true,
    onOutcome: (outcome) => there.set(outcome.seed, outcome.digest),
  })
  for (const life of lives) {
    const { digest, entries } = await live(life, true)
    assert.equal(digest, there.get(life), `life ${life} in another process`)
    assert.equal((await live(life, true)).digest, digest, `life ${life} a second time`)
    assert.ok(entries > 0 || digest !== '', 'something happened')
  }
  assert.equal(new Set(there.values()).size, lives.length, 'other seeds are other lives')
})

test('every promise is kept in every life', async (t) => {
  const count = Number(process.env['SIM_SEEDS'] ?? 1000)
  const { lives, steps, entries, simulatedMs, failures, events } = await runLives({
    seed,
    count,
    jobs: availableParallelism(),
    failuresMax: 3,
  })
  const said = failures.map(
    ({ seed: life, failure }) => `${failure?.report}\n\nreplay it with: pnpm sim --replay ${life}`,
  )
  assert.equal(failures.length, 0, said.join('\n\n'))
  assert.equal(lives, count)
  const kinds = Object.entries(events).sort((a, b) => b[1] - a[1])
  t.diagnostic(
    `${lives} lives, ${steps} steps, ${entries} entries, ${(simulatedMs / 3_600_000).toFixed(1)} simulated hours`,
  )
  t.diagnostic(kinds.map(([kind, times]) => `${kind} ${times}`).join(', '))
})
