/**
 * A long link is filled by small writes: in simulated time, so that only the product decides how much goes through.
 *
 * The link has a bandwidth and a round trip of 100 ms; sockets at its ends hold what is on the way. What counts is the
 * payload of entries that the agent has received: headers and acknowledgements do not.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { livePair } from './pairs.js'
import { MIB, type SiteWish, type World } from './world.js'

const BLOCK = 4096
const ONE_WAY_MS = 50

/** Part of the link that entries fill while `topUp` sees to it, after 700 ms to get under way. */
async function shareOf(world: World, bandwidthBytes: number, topUp: (turn: number) => void): Promise<number> {
  const received = (): number => (world.agent.status().replica?.receivedLsn ?? 0) * BLOCK
  let turn = 0
  const during = async (ms: number): Promise<number> => {
    const before = received()
    for (let at = 0; at < ms; at++) {
      topUp(turn++)
      await world.advance(1)
    }
    return (received() - before) / (bandwidthBytes * (ms / 1000))
  }
  await during(700)
  return during(500)
}

const longPair = (name: string, site: SiteWish, bandwidthBytes: number): Promise<World> =>
  livePair(name, site, {
    link: { latencyMs: ONE_WAY_MS, bandwidthBytes, windowBytes: 32 * MIB },
    deviceBytes: [4 * MIB],
    logBytes: 128 * MIB,
    journalBytes: 128 * MIB,
  })

test('[LIM-04] with 100 ms there and back an async site of a 60 MB/s link receives four fifths of it in writes of 4 KiB', async (t) => {
  const bandwidth = 60e6
  const world = await longPair('long link', { mode: 'async', overflow: 'stall' }, bandwidth)
  const bytes = Buffer.alloc(BLOCK, 7)
  let at = 0
  const share = await shareOf(world, bandwidth, () => {
    // Always more than what is on the way, and far less than the log holds.
    const { bytes: lag } = world.primary.slink().outstanding()
    for (let count = Math.max(0, (24 * MIB - lag) / BLOCK); count > 0; count--)
      world.primary.write({ offset: (at++ % 1024) * BLOCK, bytes })
  })
  t.diagnostic(`${(100 * share).toFixed(1)} % of the link`)
  assert.ok(share >= 0.8 && share <= 1, `${(100 * share).toFixed(1)} %`)
})

test('[LIM-04] with 100 ms there and back a sync site fills four fifths of an 8 MB/s link where enough writers wait for it', async (t) => {
  const bandwidth = 8e6
  const world = await longPair('long sync link', { mode: 'sync' }, bandwidth)
  await world.until('it is protected', () => world.primary.slink().protection.protected)
  const bytes = Buffer.alloc(BLOCK, 7)
  const flying = new Set<ReturnType<World['primary']['write']>>()
  let at = 0
  const share = await shareOf(world, bandwidth, () => {
    for (const ticket of flying) if (ticket.errno !== null) flying.delete(ticket)
    while (flying.size < 512) flying.add(world.primary.write({ offset: (at++ % 1024) * BLOCK, bytes }))
  })
  t.diagnostic(`${(100 * share).toFixed(1)} % of the link`)
  assert.ok(share >= 0.8 && share <= 1, `${(100 * share).toFixed(1)} %`)
})
