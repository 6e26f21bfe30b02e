/**
 * Writes, zeroes and trims that are answered, flushed, written back to the local devices, and forgotten by the log: at every
 * crash point, whatever sectors of log and devices were lost, reads give the acknowledged history.
 */
import { test } from 'node:test'
import { World } from '../pair/world.js'
import { accountOf, checkAccount, checkTally, CrashPoints } from './crash-points.js'
import { markAnswers, mostlyZeros, primaryScenario } from './primary-life.js'

const KIB = 1024
const LOG_BYTES = 2 * 1024 * KIB

const world = new World({ seed: 'write-back', agents: 0, deviceBytes: [96 * KIB, 32 * KIB], logBytes: LOG_BYTES })
await world.start()
const { primary, prng } = world
// With so many lives a superblock has several sectors that change, and can be torn.
for (let life = 0; life < 8; life++) await world.restartPrimary('stop')
const trace = primary.disks.startTrace()
markAnswers(world, trace)
for (let round = 0; round < 3; round++) {
  // The same places again and again, so that a round that is lost shows the one before.
  for (const [device, offset, length] of [
    [0, 512, 700],
    [1, 0, 4096],
    [0, 1024, 512],
  ] as const)
    await world.answered(primary.write({ device, offset, bytes: prng.bytes(length) }))
  await world.answered(primary.write({ device: 1, offset: 2048, bytes: 1000, operation: 'trim' }))
  await world.answered(primary.write({ device: 0, offset: 512, bytes: 100, operation: 'write-zeroes', fua: true }))
  // More than a step of the log, so that its space is given back.
  await world.answered(primary.write({ device: 0, offset: 30 * KIB, bytes: mostlyZeros(prng, 60 * KIB) }))
  if (round !== 1) await world.answered(primary.flush())
  await world.advance(1300)
}
await world.answered(primary.write({ device: 1, offset: 512, bytes: prng.bytes(600) }))
await world.run(primary.stop())
trace.mark({ stopped: true })
trace.stop()
const points = new CrashPoints(primaryScenario(world, trace, LOG_BYTES))

test('[REC-01] [RD-12] device, overlay and log are the acknowledged history, whatever sectors of them were lost', async (t) => {
  checkTally(await points.all(), (line) => t.diagnostic(line))
})

test('no sync of log, device or superblock can be left out on the way of a write to its device', async (t) => {
  checkAccount(accountOf(await points.steps()), {}, (line) => t.diagnostic(line))
})
