/**
 * A short storm over real processes, bounded by rounds, and canaries: what a storm must not let pass, done on purpose.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Prng } from '@sitelink/storage/testing'
import { carrierProblem, SCHEMES } from '../support/carriers.js'
import { removeFolder, temporaryFolder } from '../support/places.js'
import { seededPrng } from '../support/seed.js'
import { BLOCK_BYTES } from '../support/stamp.js'
import { waitFor } from '../support/wait-for.js'
import { Cast, problems } from './cast.js'
import { runStorm } from './run.js'
import { overName, Storm } from './storm.js'
import { Trace } from './trace.js'

/** Rounds of the short storm; `pnpm storm` runs as long as it is told. */
const ROUNDS = 3
const SECONDS_MAX = 420

/** What a storm makes on this machine and could leave behind. */
function leftovers(): string[] {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
  const spaces = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout ?? ''
  return [
    ...mounts.filter((line) => line.includes('/sitelink-disk-')),
    ...spaces.split('\n').filter((line) => line.startsWith(`sitelink-${process.pid}-`)),
  ]
}

test('a short storm over every carrier ends without a violation, and leaves nothing behind', async (t) => {
  const seed = seededPrng(t, 'storm').u32().toString(16)
  const before = leftovers()
  const summary = await runStorm({
    seed,
    roundsMax: ROUNDS,
    secondsMax: SECONDS_MAX,
    say: (line) => t.diagnostic(line),
  })
  for (const line of summary.trace) console.log(line)
  t.diagnostic(`faults ${JSON.stringify(summary.faults)}`)
  t.diagnostic(`counts ${JSON.stringify(summary.counts)}`)
  assert.equal(summary.violation, null, `seed ${seed}, kept: ${summary.kept}`)
  assert.ok(summary.rounds > 0 && (summary.counts['judged equal'] ?? 0) === summary.rounds)
  assert.ok((summary.counts['writes'] ?? 0) > 0, 'something was written')
  for (const scheme of SCHEMES.filter((each) => carrierProblem(each) === null))
    assert.ok((summary.counts[overName(scheme)] ?? 0) > 0, `a link went over ${scheme}`)
  // Disks of other storms come and go meanwhile.
  assert.deepEqual(
    leftovers().filter((line) => !before.includes(line) && line.startsWith('sitelink-')),
    [],
  )
})

test('canary: a corrupted block of a replica, and a daemon that dies by itself, are violations', async (t) => {
  const folder = temporaryFolder('storm-canary')
  const trace = (name: string): Trace => new Trace(join(folder, `${name}.log`))
  const first = trace('first')
  const cast = await Cast.start(first, problems())
  t.after(async () => {
    await cast.close()
    removeFolder(folder)
  })
  const calm = new Storm(cast, first, new Prng('calm'))
  await calm.begin()
  await calm.end()
  await calm.judge.quiet()
  assert.equal(first.violation, null)

  const agent = cast.cluster.agent(2)
  const path = agent.devices[1]?.path ?? ''
  const corrupt = (block: number, byte: number): void => {
    const file = openSync(path, 'r+')
    writeSync(file, Buffer.alloc(1, byte), 0, 1, block * BLOCK_BYTES + 100)
    closeSync(file)
  }
  corrupt(5, 0x41)
  const judged = new Storm(cast, trace('equal'), new Prng('equal'))
  await assert.rejects(judged.judge.quiet(), /agent 2 differs from the primary: journal at block 5/)
  const replayed = new Storm(cast, trace('prefix'), new Prng('prefix'))
  const dead = await replayed.judge.replay(agent)
  await assert.rejects(replayed.judge.agent(agent, dead), /agent 2 is no prefix:\n {2}block 5 of device 1/)
  corrupt(5, 0)
  await new Storm(cast, trace('mended'), new Prng('mended')).judge.quiet()

  process.kill(cast.cluster.program?.pid ?? 0, 'SIGKILL')
  const violation = await waitFor('the death to be seen', () => first.violation)
  assert.match(violation.message, /primary died by itself: .*SIGKILL/)
})
