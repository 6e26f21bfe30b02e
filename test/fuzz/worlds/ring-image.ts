/**
 * Images of ring logs at rest, with the whole truth of what is in them.
 *
 * Owns the making of one replog (dense LSNs) and one journal (frames of another log), each with several lives, a part that
 * was freed and overwritten, checkpoints, a torn tail that a recovery cut, a durable part and a tail that no durable mark
 * covers. The truth is taken where the log says it: at `submitted`, byte for byte.
 */
import assert from 'node:assert/strict'
import { encodeFrame, FrameType, type Frame, type Id64 } from '@sitelink/protocol/entry'
import { openRingLog, type LogEntry, type LsnRule, type RingLog, type RingLogListener } from '@sitelink/storage'
import { FaultDisk, Prng, SimClock } from '@sitelink/storage/testing'

export const MIB = 1024 * 1024
export const LOG_BYTES = 2 * MIB

/** An entry as it was given to the log. */
export interface TrueEntry {
  readonly position: number
  readonly end: number
  readonly lsn: number
  readonly bytes: Buffer
  readonly range: { readonly deviceId: number; readonly offset: number; readonly length: number } | null
}

export interface RingImage {
  readonly rule: LsnRule
  readonly bytes: Buffer
  /** What an undamaged opening yields, in order. */
  readonly entries: readonly TrueEntry[]
  /** The owner's part of the superblock. */
  readonly owner: Buffer
  readonly ringBytes: number
}

/** A listener that keeps nothing but what it is asked for. */
export function silentListener(owner: Buffer): RingLogListener {
  return { written() {}, durable() {}, spaceFreed() {}, failed() {}, ownerState: () => owner }
}

const LOG_OF_FRAMES: Id64 = { high: 0x01020304, low: 0x05060708 }

function nextFrame(log: RingLog, rule: LsnRule, prng: Prng, state: { lsn: number }): Frame {
  const length = prng.chance(0.2) ? 0 : prng.pick([1, 16, 100, 512, 1000, 2000, 5000])
  const payload = length === 0 ? null : prng.bytes(length)
  const deviceId = prng.between(1, 3)
  const offset = prng.below(200) * 512 * 1024
  const zeroes = { type: prng.pick([FrameType.trim, FrameType.zeroes]), length: prng.pick([4096, 3 * MIB]) }
  if (rule === 'dense') {
    const fields = payload === null ? zeroes : { type: FrameType.write, length }
    return encodeFrame(
      {
        ...fields,
        deviceId,
        offset,
        lsn: log.lastLsn + 1,
        logId: log.identity,
        incarnation: log.incarnation.number,
        previousCrc: log.lastHeaderCrc,
        wallUs: 1_700_000_000_000_000,
        durableLsn: log.durableLsn,
      },
      payload,
    )
  }
  const isCopy = prng.chance(0.3)
  if (!isCopy) state.lsn++
  const fields = payload === null ? zeroes : { type: isCopy ? FrameType.copy : FrameType.write, length }
  return encodeFrame({ ...fields, deviceId, offset, lsn: state.lsn, logId: LOG_OF_FRAMES, incarnation: 1 }, payload)
}

function trueEntry({ frame, position, end }: LogEntry): TrueEntry {
  const { deviceId, offset, length } = frame
  return {
    position,
    end,
    lsn: frame.lsn,
    bytes: frame.payload === null ? Buffer.from(frame.header) : Buffer.concat([frame.header, frame.payload]),
    range: length === 0 ? null : { deviceId, offset, length },
  }
}

export interface RingImageOptions {
  readonly rule: LsnRule
  /** How it came to rest: closed in order, or killed with a tail that no durable mark covers. */
  readonly stop: 'clean' | 'killed'
}

/** Bytes of the ring that its readers still need. */
const KEPT_BYTES = 120_000

/** Makes an image. The same seed makes the same one. */
export async function makeRingImage(seed: number | string, { rule, stop }: RingImageOptions): Promise<RingImage> {
  const prng = new Prng(`${seed}/${rule}/${stop}`)
  const clock = new SimClock()
  const owner = Buffer.from(`owner of a ${rule} log`)
  const truth = new Map<number, TrueEntry>()
  const state = { lsn: 0 }
  let disk = new FaultDisk({ sizeBytes: LOG_BYTES, prng: prng.fork('disk'), clock })
  const open = async (): Promise<RingLog> => {
    const process = clock.process()
    const { log } = await clock.runUntil(
      openRingLog({
        disk,
        mode: 'auto',
        rule,
        clock: process,
        random: prng,
        sparse: true,
        listener: {
          ...silentListener(owner),
          submitted: (entries) => {
            for (const entry of entries) truth.set(entry.position, trueEntry(entry))
          },
        },
      }),
    )
    kill = () => process.kill()
    return log
  }
  let kill = (): void => undefined
  const fill = async (log: RingLog, groups: number): Promise<void> => {
    for (let group = 0; group < groups; group++) {
      for (let left = prng.between(1, 6); left > 0; left--) log.append(nextFrame(log, rule, prng, state))
      if (prng.chance(0.4)) log.requestSync()
      await clock.advance(prng.chance(0.3) ? 120 : 2)
    }
  }
  let log = await open()
  // Once round the ring and more, so that old bytes lie everywhere, behind a tail that moves.
  while (log.writtenEnd < 1.3 * log.ringBytes) {
    await fill(log, 4)
    log.releaseBelow(Math.max(0, log.writtenEnd - KEPT_BYTES))
  }
  for (let life = 0; life < 3; life++) {
    await fill(log, 6)
    kill()
    // A tail that is torn: recovery cuts it, and what lay behind the cut is void.
    disk = life === 1 ? disk.powerCut({ kind: 'random' }) : disk.crashProcess('all')
    log = await open()
    for (const { position } of [...truth.values()]) if (position >= log.incarnation.previousEnd) truth.delete(position)
    state.lsn = rule === 'dense' ? state.lsn : Math.max(0, ...[...truth.values()].map(({ lsn }) => lsn))
  }
  await fill(log, 8)
  log.releaseBelow(Math.max(0, log.writtenEnd - KEPT_BYTES))
  await clock.advance(500)
  // Behind the last durable mark: written, never synced.
  for (let left = 3; left > 0; left--) log.append(nextFrame(log, rule, prng, state))
  await clock.settle()
  for (let left = 2; left > 0; left--) log.append(nextFrame(log, rule, prng, state))
  await clock.settle()
  if (stop === 'clean') await clock.runUntil(log.close())
  const { tail, ringBytes } = log
  kill()
  const entries = [...truth.values()].filter(({ position }) => position >= tail).sort((a, b) => a.position - b.position)
  assert.ok(entries.length > 20, 'an image holds a good number of entries')
  return { rule, bytes: disk.crashProcess('all').peek(), entries, owner, ringBytes }
}
