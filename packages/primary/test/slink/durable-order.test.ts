/** What must be stored before a site is told anything, before it is counted on, and before it is called protected. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameType, type Ack, type LogPoint, type Welcome } from '@sitelink/protocol'
import { SimClock } from '@sitelink/storage/testing'
import { peerStore } from '../../src/cli/open-state.js'
import type { SlinkConfig } from '../../src/config.js'
import { Copier } from '../../src/resync/copier.js'
import type { Group } from '../../src/group/group.js'
import { slinkSurroundings } from '../../src/group/slink-surroundings.js'
import { Place } from '../../src/slink/place.js'
import { Protection } from '../../src/slink/protection.js'
import { prepareResume } from '../../src/slink/resume.js'
import { TokenBucket } from '../../src/slink/token-bucket.js'
import { marksTo } from '../../src/slink/standing.js'
import { beginStream } from '../../src/slink/stream-begin.js'
import type { StreamOwner, StreamSession } from '../../src/slink/stream-session.js'
import { Gate, hasEnded, MAPPING_ID, MIB, SlowSite } from './slow-marks.js'

const at = (lsn: number): LogPoint => ({ incarnation: 1, lsn })

const owner: StreamOwner = { acked() {}, cleaned() {}, hole() {}, failed() {}, readFailed() {} }

const welcome: Welcome = {
  kind: 'welcome',
  wireVersion: 1,
  agent: 'the agent',
  journal: 'its journal',
  epoch: 1,
  replica: null,
  devices: [],
  mappings: [],
  dirtyMaps: 1,
  allDirty: false,
}

const map = {
  kind: 'dirty-map' as const,
  deviceId: 1,
  mappingId: MAPPING_ID,
  regionBytes: MIB,
  firstRegion: 0,
  regionCount: 8,
  bits: Buffer.from([0b1010]),
}

test('the plan goes out only when the dirty map of the agent is stored with the own one, and then who the agent is', async () => {
  const site = await SlowSite.make({ kind: 'log', place: new Place(at(20), 4096, false), announced: true }, 'all-clean')
  const planned = prepareResume(site.slink, welcome, [map], site.context, () => false)
  assert.equal(await hasEnded(planned), false)
  assert.equal(site.marks.flushedTo.length, 1, 'what the agent has dirty is being stored')
  assert.equal(site.marks.dirtyRegions, 2)
  site.marks.gate.open()
  assert.equal(await hasEnded(planned), false, 'it is not recorded yet whose acknowledgements will count')
  site.recording.open()
  assert.equal(await hasEnded(planned), true)
  assert.deepEqual(site.recorded, [{ agent: 'the agent', journal: 'its journal' }])
})

test('who an agent is counts as recorded when the file of the peers is durable', async () => {
  const gate = new Gate()
  let current: { peers: Record<string, unknown> } = { peers: {} }
  const file = {
    update: async (change: (now: typeof current) => typeof current) => {
      await gate.opened
      current = change(current)
    },
  }
  const recorded = peerStore(file as unknown as Parameters<typeof peerStore>[0]).set(7, { agent: 'a', journal: 'j' })
  assert.equal(await hasEnded(recorded), false)
  gate.open()
  await recorded
  assert.deepEqual(current.peers, { 7: { agent: 'a', journal: 'j' } })
})

test('the first frame waits until the marks up to the place of the site are stored', async () => {
  const site = await SlowSite.make({ kind: 'behind', since: at(5), answered: true }, 'all-dirty')
  const facts = { session: site.session, welcome, common: at(5), restart: false }
  const begun = beginStream(site.slink, facts, site.context, owner)
  assert.equal(await hasEnded(begun), false)
  assert.deepEqual(site.marks.flushedTo, [at(20)])
  assert.deepEqual(site.sent, [])
  site.marks.gate.open()
  const stream = await begun
  stream.feed.pump()
  assert.deepEqual(site.sentTypes, [FrameType.map, FrameType.resyncBegin, FrameType.skip])
})

/** A session of a site that is behind since LSN 5, and whose stream begins at 20. */
async function resyncing(): Promise<{ site: SlowSite; stream: StreamSession }> {
  const site = await SlowSite.make({ kind: 'behind', since: at(5), answered: true }, 'all-dirty')
  site.marks.gate.open()
  const facts = { session: site.session, welcome, common: at(5), restart: false }
  return { site, stream: await beginStream(site.slink, facts, site.context, owner) }
}

function ack(lsn: number, dirtyRegions: number): Ack {
  const mark = [1, lsn, 10] as const
  const used = { journalUsedBytes: 0, journalBytes: MIB }
  return {
    kind: 'ack',
    received: mark,
    durable: mark,
    applied: mark,
    dirtyRegions,
    consistent: dirtyRegions === 0,
    ...used,
  }
}

test('nobody counts on what the stream of a resync has passed, before all of it is copied', async () => {
  const { site, stream } = await resyncing()
  stream.onAck(ack(20, 0))
  assert.equal(stream.settled, false, 'regions are dirty here, though the agent knows of none')
  // Reads begin, and do not end.
  stream.feed.pump()
  stream.onAck(ack(20, 8))
  assert.deepEqual([stream.heldReceivedLsn, stream.heldDurableLsn], [5, 5])
  assert.equal(stream.settled, false)
  const mapping = site.marks.get(1)
  for (let region = 0; region < 8; region++) mapping?.dirty.clearRegion(region)
  stream.onAck(ack(20, 1))
  assert.equal(stream.settled, false, 'the agent still has a region to bring')
  stream.onAck(ack(20, 0))
  assert.equal(stream.settled, false, 'a copy is still on its way')
  mapping?.endSession()
  stream.onAck(ack(20, 0))
  assert.equal(stream.settled, true)
  assert.deepEqual([stream.heldReceivedLsn, stream.heldDurableLsn], [20, 20])
})

test('bitmaps are complete up to the place of a site in the log, and to the last entry only while appends are marked', () => {
  const place = new Place(at(5), 100, true)
  assert.deepEqual(marksTo({ kind: 'log', place, announced: true }, at(9)), at(5))
  assert.deepEqual(marksTo({ kind: 'dropping', place }, at(9)), at(5))
  assert.deepEqual(marksTo({ kind: 'behind', since: at(5), answered: true }, at(9)), at(9))
})

test('a copy has the stamp of the end of its read, not of its begin', async () => {
  const clock = new SimClock()
  let headLsn = 7
  let finish: () => void = () => assert.fail('nothing is read')
  const site = await SlowSite.make({ kind: 'behind', since: at(5), answered: true }, 'all-dirty')
  site.marks.beginSession()
  const tracker = site.marks.get(1)?.tracker ?? assert.fail('a session has begun')
  const copier = new Copier({
    clock,
    bucket: new TokenBucket(0),
    readInto: (_deviceId, _offset, into) => {
      into.fill(1)
      return new Promise((resolve) => (finish = resolve))
    },
    headLsn: () => headLsn,
    bytesPerSecond: () => 0,
    ready: () => {},
    readFailed: () => assert.fail('the read succeeds'),
  })
  copier.setSources([{ deviceId: 1, sizeBytes: 8 * MIB, regionBytes: MIB, tracker }])
  copier.pump()
  headLsn = 12
  finish()
  await clock.settle()
  assert.equal(copier.peek()?.stamp, 12)
})

test('a resync reads through the overlay, not from the device behind it', async () => {
  const overlay = [Buffer.from('newest')]
  const asked: number[][] = []
  const read = (...range: number[]): Promise<readonly Buffer[]> => {
    asked.push(range)
    return Promise.resolve(overlay)
  }
  const readInto = (deviceId: number, offset: number, into: Buffer): Promise<void> => {
    asked.push([deviceId, offset, overlay[0]?.copy(into) ?? 0])
    return Promise.resolve()
  }
  const group = { parts: {}, config: { uuid: '' }, writeBack: { read, readInto } } as unknown as Group
  const surroundings = slinkSurroundings(group)
  assert.equal(await surroundings.read(3, 512, 6), overlay)
  const into = Buffer.alloc(6)
  await surroundings.readInto(4, 1024, into)
  assert.deepEqual(asked, [
    [3, 512, 6],
    [4, 1024, 6],
  ])
  assert.equal(into.toString(), 'newest')
})

/** The protection of a sync site that lacks so much. */
function protecting(ios: number): { protection: Protection; said: string[]; lack: (ios: number) => void } {
  const said: string[] = []
  let outstanding = { ios, bytes: 0, ageMs: null }
  const protection = new Protection(
    {
      config: { number: 1, mode: 'sync', overflow: 'stall', holdMs: null, fallBehind: {} } as unknown as SlinkConfig,
      mapped: true,
      outstanding: () => outstanding,
      appendedLsn: () => 100,
      isWaitedFor: () => false,
      holdingChanged() {},
      latchChanged: () => said.push('latch'),
      failWriters() {},
      lost() {},
      event: (kind) => said.push(kind),
    } as ConstructorParameters<typeof Protection>[0],
    false,
  )
  return { protection, said, lack: (ios) => (outstanding = { ios, bytes: 0, ageMs: null }) }
}

test('a site that lacks more than its window is not caught up, however clean it is', () => {
  const { protection, lack } = protecting(1_000_000)
  protection.judge(true, 50)
  assert.equal(protection.guard, 'catching-up')
  lack(0)
  protection.judge(false, 50)
  assert.equal(protection.guard, 'catching-up', 'nor while regions are dirty')
  protection.judge(true, 50)
  assert.equal(protection.guard, 'live')
  assert.equal(protection.holding, 'wait')
})

test('a site is protected once it has durably all that was given out before writers waited for it, and not before', () => {
  const { protection, said } = protecting(0)
  protection.judge(true, 99)
  assert.deepEqual([protection.guard, protection.protected, protection.latched], ['live', false, false])
  assert.deepEqual(said, [])
  protection.judge(true, 100)
  assert.deepEqual([protection.protected, protection.latched], [true, true])
  assert.deepEqual(said, ['latch', 'slink-protected'])
})
