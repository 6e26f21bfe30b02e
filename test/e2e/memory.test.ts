/**
 * Memory is bounded whatever the backlog: with 2 GiB waiting in the log for a dead agent, and while it is caught up
 * afterwards, neither program has more than 300 MiB resident.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cluster } from '../support/cluster.js'
import { assertSidesEqual } from '../support/equality.js'
import { seededPrng } from '../support/seed.js'
import { slinkOf } from '../support/status-shape.js'

const MIB = 1024 * 1024
const BACKLOG_BYTES = 2048 * MIB
const RESIDENT_BYTES_MAX = 300 * MIB

test('[BP-04] primary and agent stay under 300 MiB with a backlog of 2 GiB', async (t) => {
  const deviceBytes = 256 * MIB
  const cluster = await Cluster.start({
    label: 'memory',
    logSize: '3g',
    initWords: ['--sparse'],
    devices: [{ name: 'data', sizeBytes: deviceBytes }],
    slinks: [{ words: ['--policy', 'async'], agentWords: ['--journal-size', '512m', '--sparse'] }],
  })
  t.after(() => cluster.close())
  await cluster.inStep()
  const agent = cluster.agent()
  await agent.kill()

  const client = await cluster.connect('data')
  const payloads = [0, 1, 2, 3].map((each) => seededPrng(t, `memory ${each}`).bytes(MIB))
  let offset = 0
  const writer = async (): Promise<void> => {
    while (offset < BACKLOG_BYTES) {
      const at = offset
      offset += MIB
      await client.write(at % deviceBytes, payloads[(at / MIB) % 4] ?? Buffer.alloc(MIB))
    }
  }
  await Promise.all(Array.from({ length: 8 }, writer))
  await client.disconnect()
  const slink = slinkOf(await cluster.status(), 1)
  assert.equal(slink.behind, false, 'the backlog is in the log')
  assert.ok(slink.lagBytes >= BACKLOG_BYTES, `the backlog is ${slink.lagBytes} bytes`)
  const withBacklog = cluster.program?.residentBytesPeak() ?? 0
  t.diagnostic(`primary with the backlog on disk: ${text(withBacklog)} at most`)

  await agent.start()
  await cluster.inStep(1, { timeoutMs: 240_000 })
  await assertSidesEqual(cluster)
  const primary = cluster.program?.residentBytesPeak() ?? 0
  const remote = agent.program?.residentBytesPeak() ?? 0
  t.diagnostic(`after catching up: primary ${text(primary)}, agent ${text(remote)} at most`)
  assert.ok(primary > 0 && primary < RESIDENT_BYTES_MAX, `primary: ${text(primary)}`)
  assert.ok(remote > 0 && remote < RESIDENT_BYTES_MAX, `agent: ${text(remote)}`)
})

function text(bytes: number): string {
  return `${(bytes / MIB).toFixed(0)} MiB`
}
