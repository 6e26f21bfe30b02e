/**
 * How a stream begins: from the point where both agree to the first entry, with the announcement of a resync between.
 *
 *   [unmap, map] ... [resync-begin] ... [skip to the place] entries and copies
 *
 * Owns that order. The slink gets its place in the log in the same turn in which appends stop to be marked, and its
 * marks up to that place are durable before the first frame is sent.
 */
import {
  encodeFrame,
  encodeMapPayload,
  encodeResyncBeginPayload,
  encodeUnmapPayload,
  FrameType,
  must,
  ORIGIN,
  type Frame,
  type FrameFields,
  type LogPoint,
  type LogPosition,
  type Session,
  type Welcome,
} from '@sitelink/protocol'
import type { Mapping } from './mapping.js'
import { Place } from './place.js'
import type { Slink } from './slink.js'
import type { SlinkContext } from './slink-context.js'
import { hasAnswered } from './standing.js'
import { StreamSession, type StreamOwner } from './stream-session.js'

/** Regions whose bits one announcement frame carries: 512 KiB of bits. */
const REGIONS_PER_FRAME = 4 * 1024 * 1024

export interface BeginFacts {
  readonly session: Session
  readonly welcome: Welcome
  /** The last entry that both have. */
  readonly common: LogPoint
  /** The agent starts over: nothing of the log is known to be there. */
  readonly restart: boolean
}

/** Makes the stream. Rejects if the marks cannot be stored or the log cannot be searched; then nothing was sent. */
export async function beginStream(
  slink: Slink,
  facts: BeginFacts,
  context: SlinkContext,
  owner: StreamOwner,
): Promise<StreamSession> {
  const { session, welcome, common, restart } = facts
  if (slink.standing.kind === 'behind' || restart) {
    const { point, position } = context.written()
    slink.becomePlaced(
      new Place(point, position, restart || hasAnswered(slink.standing), restart ? ORIGIN : slink.point),
    )
    await slink.mappings.flush(point)
  }
  const { standing } = slink
  if (standing.kind !== 'log') throw new Error('the site was dropped meanwhile')
  const { place } = standing
  const { start, found } = await startOf(place, common, context)
  if (session.ended || slink.standing !== standing) throw new Error('the session ended before it began')
  place.restart()
  const skipped = common.lsn < start.lsn
  const position = must(found, 'the log holds everything from a slink’s place on')
  // The first acknowledgement may cover all there is: then no run follows that could move the place. What is found may
  // lie a little beyond the last entry, where no place is.
  place.passed(start.lsn, Math.max(place.position, Math.min(position, context.written().position)))
  slink.mappings.beginSession()
  const stream = new StreamSession({
    session,
    wireVersion: welcome.wireVersion,
    log: context.log,
    clock: context.clock,
    place,
    mappings: slink.mappings,
    start,
    acked: common,
    position,
    read: (deviceId, offset, length) => context.read(deviceId, offset, length),
    readInto: (deviceId, offset, into) => context.readInto(deviceId, offset, into),
    headLsn: () => context.appended().lsn,
    durableWanted: () => context.durableWanted(slink),
    writtenLsn: () => context.written().point.lsn,
    tellAtOnce: () => context.tellAtOnce(slink),
    taken: ({ lsn, wallUs }) => context.ledger.old.note(lsn, wallUs),
    terms: () => slink.config,
    owner,
  })
  const frames = preamble(slink, welcome, context, common)
  if (skipped) frames.push(encodeFrame({ ...base(context, start), type: FrameType.skip, aux: common.lsn + 1 }, null))
  slink.announceAfter(frames.length)
  stream.feed.begin(frames)
  return stream
}

/**
 * Where the stream starts: at the place, or behind what the agent has beyond it. The place of a site without devices
 * follows the head while the log is searched; then it is searched again.
 */
async function startOf(
  place: Place,
  common: LogPoint,
  context: SlinkContext,
): Promise<{ readonly start: LogPoint; readonly found: LogPosition | null }> {
  for (;;) {
    const { point } = place
    const start = common.lsn < point.lsn ? point : common
    // The place's own position may lie below its point: it moves by whole runs.
    const found = await context.log.locate(start.lsn)
    if (place.point === point) return { start, found }
  }
}

/** Mappings that the agent does not have yet or should not have any more, and the dirty maps of all. */
function preamble(slink: Slink, welcome: Welcome, context: SlinkContext, common: LogPoint): Frame[] {
  const frames: Frame[] = []
  const at = base(context, common)
  const known = new Map(welcome.mappings.map((mapping) => [mapping.deviceId, mapping]))
  for (const { deviceId, mappingId } of welcome.mappings) {
    if (slink.mappings.get(deviceId)?.config.mappingId === mappingId) continue
    frames.push(encodeFrame({ ...at, type: FrameType.unmap, deviceId }, encodeUnmapPayload({ mappingId })))
    known.delete(deviceId)
  }
  for (const mapping of slink.mappings) {
    if (known.has(mapping.deviceId)) continue
    const { mappingId, remote, regionBytes } = mapping.config
    const payload = {
      mappingId,
      number: mapping.deviceNumber,
      name: mapping.deviceName,
      remote,
      sizeBytes: mapping.sizeBytes,
      regionBytes,
      clean: mapping.dirtyCount === 0,
    }
    frames.push(encodeFrame({ ...at, type: FrameType.map, deviceId: mapping.deviceId }, encodeMapPayload(payload)))
  }
  const announcements = [...slink.mappings].filter((mapping) => mapping.dirtyCount > 0).flatMap(announcementsOf)
  announcements.forEach(({ deviceId, payload }, index) => {
    const following = announcements.length - 1 - index
    frames.push(encodeFrame({ ...at, type: FrameType.resyncBegin, deviceId, aux: following }, payload))
  })
  return frames
}

function announcementsOf(mapping: Mapping): { deviceId: number; payload: Buffer }[] {
  const pieces: { deviceId: number; payload: Buffer }[] = []
  for (let first = 0; first < mapping.regionCount; first += REGIONS_PER_FRAME) {
    const count = Math.min(REGIONS_PER_FRAME, mapping.regionCount - first)
    const bits = bitsOf(mapping, first, count)
    const { mappingId, regionBytes } = mapping.config
    const payload = encodeResyncBeginPayload({ mappingId, regionBytes, firstRegion: first, regionCount: count, bits })
    pieces.push({ deviceId: mapping.deviceId, payload })
  }
  return pieces
}

/** Bits of a run of regions, lowest bit first. */
function bitsOf(mapping: Mapping, first: number, count: number): Buffer {
  const bits = Buffer.alloc(Math.ceil(count / 8))
  for (const run of mapping.dirty.bitmap.runs()) {
    const end = Math.min(run.first + run.count, first + count)
    for (let region = Math.max(run.first, first); region < end; region += 1) {
      const at = region - first
      bits[at >> 3] = (bits[at >> 3] as number) | (1 << (at & 7))
    }
  }
  return bits
}

function base(context: SlinkContext, point: LogPoint): Omit<FrameFields, 'type'> {
  const durableLsn = Math.min(context.log.durableLsn, point.lsn)
  return { lsn: point.lsn, incarnation: point.incarnation, logId: context.log.identity, durableLsn }
}
