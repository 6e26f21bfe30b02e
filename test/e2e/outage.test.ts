/**
 * Outages of an agent, short and long, as an operator lives through them.
 *
 * A short one is absorbed by the log and costs no resync. A long one overflows the log: exactly what was dropped is
 * dirty, the application goes on, and the return brings both sides back to equality by itself, under continuous writes.
 */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { after, before, describe, test } from 'node:test'
import type { NbdClient } from '@sitelink/nbd'
import type { Prng } from '@sitelink/storage/testing'
import { anyCarrier } from '../support/carriers.js'
import { Cluster } from '../support/cluster.js'
import { assertSidesEqual } from '../support/equality.js'
import { seededPrng } from '../support/seed.js'
import { type SlinkStatus, slinkOf } from '../support/status-shape.js'
import { waitFor } from '../support/wait-for.js'

const KIB = 1024
const MIB = 1024 * 1024
const REGIONS = 64

describe('an outage of the agent', () => {
  let cluster: Cluster
  let client: NbdClient

  before(async () => {
    cluster = await Cluster.start({
      label: 'outage',
      scheme: anyCarrier('outage'),
      logSize: '16m',
      devices: [{ name: 'data', sizeBytes: REGIONS * MIB }],
      slinks: [{ words: ['--policy', 'async'] }],
    })
    client = await cluster.connect('data')
    await cluster.inStep()
  })
  after(async () => {
    await client.destroy()
    await cluster.close()
  })

  const slink = async (): Promise<SlinkStatus> => slinkOf(await cluster.status(), 1)

  test('[SM-09] [SM-06] one that fits the log resyncs no region', async (t) => {
    const prng = seededPrng(t, 'short-outage')
    const before = await slink()
    await cluster.agent().kill()
    for (let i = 0; i < 40; i++) await writeSomewhere(client, prng, prng.below(REGIONS))
    assert.equal((await slink()).behind, false)
    assert.equal((await slink()).dirtyRegions, 0)
    await cluster.agent().start()
    await assertSidesEqual(cluster)
    assertNothingCopied(before, await slink())
  })

  test('[SM-12] [SM-11] a link that flaps during writes loses nothing and resyncs no region', async (t) => {
    const prng = seededPrng(t, 'flapping-link')
    const before = await slink()
    for (let i = 0; i < 60; i++) {
      await writeSomewhere(client, prng, prng.below(REGIONS))
      if (i % 10 === 5) cluster.agent().proxy.reset()
    }
    await assertSidesEqual(cluster)
    assertNothingCopied(before, await slink())
  })

  test('[OVF-01] [OVF-03] [OVF-12] one that overflows the log marks exactly what was written since', async (t) => {
    const prng = seededPrng(t, 'long-outage')
    await cluster.agent().kill()
    const touched = new Set<number>()
    for (let bytes = 0; bytes < 40 * MIB;) {
      const region = 2 * prng.below(REGIONS / 4)
      touched.add(region)
      bytes += await writeSomewhere(client, prng, region)
    }
    await waitFor('the slink to be behind', async () => (await slink()).behind)
    await writeSomewhere(client, prng, REGIONS - 1)
    touched.add(REGIONS - 1)
    const { dirtyRegions, totalRegions } = await slink()
    assert.equal(dirtyRegions, touched.size)
    assert.equal(totalRegions, REGIONS)
  })

  test('[OVF-16] [DLG-02] a restart of the primary forgets no dirty region', async () => {
    const before = (await slink()).dirtyRegions
    assert.ok(before > 0)
    await client.destroy()
    await cluster.killPrimary()
    await cluster.startPrimary()
    client = await cluster.connect('data')
    assert.equal((await slink()).dirtyRegions, before)
  })

  test('[OVF-13] [RSY-06] [RSY-11] the return resyncs by itself under continuous writes, and both sides end equal', async (t) => {
    const prng = seededPrng(t, 'return')
    const before = await slink()
    let writing = true
    let writes = 0
    const load = (async () => {
      // Some MiB a second: a load that the site can follow, but that never pauses.
      for (; writing; writes++) await Promise.all([writeSomewhere(client, prng, prng.below(REGIONS)), delay(10)])
    })()
    await cluster.agent().start()
    await waitFor('the resync to end', async () => {
      const { connected, behind, dirtyRegions } = await slink()
      return connected && !behind && dirtyRegions === 0
    })
    writing = false
    await load
    await assertSidesEqual(cluster)
    const after = await slink()
    assert.ok(after.copiedBytesTotal > before.copiedBytesTotal, 'something was copied')
    assert.ok(writes > 0, 'there was a load')
    assert.equal((await cluster.agent().status()).replica?.consistent, true)
  })

  test('[RSY-15] a resync that is interrupted by a kill of either side goes on and ends', async (t) => {
    const prng = seededPrng(t, 'interrupted')
    await cluster.agent().kill()
    for (let bytes = 0; bytes < 40 * MIB;) bytes += await writeSomewhere(client, prng, prng.below(REGIONS))
    await waitFor('the slink to be behind', async () => (await slink()).behind)
    cluster.agent().proxy.limit('out', 16 * MIB)
    await cluster.agent().start()
    const under = async (): Promise<boolean> => (await slink()).resync?.running === true
    await waitFor('a resync', under)
    await cluster.agent().kill()
    await cluster.agent().start()
    await waitFor('a resync', under)
    await client.destroy()
    await cluster.killPrimary()
    await cluster.startPrimary()
    cluster.agent().proxy.limit('out', null)
    client = await cluster.connect('data')
    await assertSidesEqual(cluster)
  })
})

function assertNothingCopied(before: SlinkStatus, after: SlinkStatus): void {
  assert.equal(after.copiedBytesTotal - before.copiedBytesTotal, 0, 'nothing was copied')
  assert.equal(after.resyncs, before.resyncs, 'no resync began')
}

/** Writes 4 to 256 KiB somewhere in a region; answers how many bytes. */
async function writeSomewhere(client: NbdClient, prng: Prng, region: number): Promise<number> {
  const length = 4 * KIB * prng.between(1, 64)
  const offset = region * MIB + 4 * KIB * prng.below((MIB - length) / (4 * KIB) + 1)
  await client.write(offset, prng.bytes(length))
  return length
}
