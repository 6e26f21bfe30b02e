/**
 * What the tests of the ring log share: a log on a simulated disk, frames to fill it, and a record of what it said.
 */
import {
  encodeFrame,
  FrameType,
  type Frame,
  type FrameFields,
  type Id64,
  type LogPosition,
} from '@sitelink/protocol/entry'
import type {
  LogEntry,
  LogHole,
  LsnRule,
  RecoveryReport,
  RingLog,
  RingLogListener,
} from '../../src/ring-log/contract.js'
import { openRingLog, type OpenLogOptions } from '../../src/ring-log/open.js'
import { FaultDisk, Prng, SimClock, type SimProcessClock } from '../../src/testing/index.js'

export const MIB = 1024 * 1024

/** Remembers what the log told its owner. */
export class Recorder implements RingLogListener {
  readonly written_: LogEntry[] = []
  submittedCount = 0
  durablePosition: LogPosition = 0
  durableLsn = 0
  spaceFreedCount = 0
  failure: Error | null = null
  owner = Buffer.from('owner')
  onWritten: (entries: readonly LogEntry[]) => void = () => undefined

  submitted(entries: readonly LogEntry[]): void {
    this.submittedCount += entries.length
  }

  written(entries: readonly LogEntry[]): void {
    this.written_.push(...entries)
    this.onWritten(entries)
  }

  durable(position: LogPosition, lsn: number): void {
    this.durablePosition = position
    this.durableLsn = lsn
  }

  spaceFreed(): void {
    this.spaceFreedCount++
  }

  failed(error: Error): void {
    if (this.failure !== null) throw new Error('failed is told once')
    this.failure = error
  }

  ownerState(): Buffer {
    return this.owner
  }
}

export interface Opened {
  readonly log: RingLog
  readonly report: RecoveryReport
  readonly recorder: Recorder
  readonly disk: FaultDisk
}

/** One simulated machine: a clock, randomness, a way to open logs on disks. */
export class Bench {
  readonly clock = new SimClock()
  readonly prng: Prng
  readonly rule: LsnRule

  constructor(seed: number | string = 1, rule: LsnRule = 'dense') {
    this.prng = new Prng(seed)
    this.rule = rule
  }

  disk(sizeBytes = 2 * MIB): FaultDisk {
    return new FaultDisk({ sizeBytes, prng: this.prng.fork('disk'), clock: this.clock })
  }

  /** Opens or creates; `process` is the clock that dies with the simulated process. */
  async open(disk: FaultDisk, options: Partial<OpenLogOptions> = {}, process?: SimProcessClock): Promise<Opened> {
    const recorder = new Recorder()
    const opening = openRingLog({
      disk,
      mode: 'auto',
      rule: this.rule,
      listener: recorder,
      clock: process ?? this.clock,
      random: this.prng,
      sparse: true,
      ...options,
    })
    const { log, report } = await this.clock.runUntil(opening)
    return { log, report, recorder, disk }
  }
}

/** Payload bytes that tell from which entry they are. */
export function payloadFor(lsn: number, length: number): Buffer {
  const bytes = Buffer.alloc(length, lsn & 0xff)
  for (let at = 0; at + 4 <= length; at += 512) bytes.writeUInt32LE((lsn * 2654435761 + at) >>> 0, at)
  return bytes
}

/** Appends a write entry as the primary would. */
export function append(log: RingLog, length = 4096, fields: Partial<FrameFields> = {}): LogEntry {
  return log.append(nextFrame(log, length, fields))
}

export function nextFrame(log: RingLog, length: number, fields: Partial<FrameFields> = {}): Frame {
  const lsn = log.lastLsn + 1
  return encodeFrame(
    {
      type: FrameType.write,
      deviceId: 1,
      lsn,
      logId: log.identity,
      incarnation: log.incarnation.number,
      previousCrc: log.lastHeaderCrc,
      offset: lsn * MIB,
      length,
      ...fields,
    },
    length === 0 ? null : payloadFor(lsn, length),
  )
}

/** A frame for a journal: of another log's identity, any order that does not fall. */
export function foreignFrame(
  logId: Id64,
  incarnation: number,
  lsn: number,
  length: number,
  fields: Partial<FrameFields> = {},
): Frame {
  return encodeFrame(
    { type: FrameType.copy, deviceId: 1, lsn, logId, incarnation, offset: 0, length, ...fields },
    length === 0 ? null : payloadFor(lsn, length),
  )
}

/** Everything from a position on. */
export async function readAll(
  bench: Bench,
  log: RingLog,
  position = log.tail,
  bytesMax = 256 * 1024,
): Promise<(LogEntry | LogHole)[]> {
  const cursor = log.cursor(position)
  const all: (LogEntry | LogHole)[] = []
  try {
    for (;;) {
      const answer = cursor.next(bytesMax)
      const items = answer instanceof Promise ? await bench.clock.runUntil(answer) : answer
      if (items === null) return all
      all.push(...items)
    }
  } finally {
    cursor.close()
  }
}

/** LSNs of entries; a hole is `-first..last`. */
export function lsnsOf(items: readonly (LogEntry | LogHole)[]): (number | string)[] {
  return items.map((item) => ('frame' in item ? item.frame.lsn : `hole ${item.firstLsn}..${item.lastLsn}`))
}

export function upTo(last: number, first = 1): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index)
}
