/**
 * A ring log of a stranger at open: superblocks, groups, frames and checkpoints that lie, with checksums that do not.
 *
 * The input is a program over one of four images: records of sixteen bytes, each an edit of a structure's field, a copy, a
 * poke or a cut, after which the CRCs of what it touched are made true again, or not. So a small input reaches what no
 * random bytes would. Held to: an opening succeeds or is refused with a code of LOG_CODES, and a refusal leaves the
 * disk as it was; a log that opened is read to its end, takes an entry, and its next opening finds the very same; the
 * inspector says something about all of it; and nobody reads without end.
 */
import { crc32 } from 'node:zlib'
import { encodeFrame, FrameType } from '@sitelink/protocol/entry'
import {
  checkLog,
  DiskError,
  inspectLog,
  listLog,
  LOG_CODES,
  LogError,
  openRingLog,
  type OpenedLog,
  type RingLog,
} from '@sitelink/storage'
import { Prng, SimClock } from '@sitelink/storage/testing'
import { INTERESTING, putNumber } from '../engine/mutator.js'
import { hold, type Target } from '../engine/target.js'
import { placesOf } from '../flips/places.js'
import { FlipDisk } from '../worlds/flip-disk.js'
import { makeRingImage, silentListener, type RingImage } from '../worlds/ring-image.js'
import { sealFrame } from './frame-bytes.js'

const SLOT_BYTES = 128 * 1024
const RING_OFFSET = 2 * SLOT_BYTES
const RECORD_BYTES = 16
const RECORDS_MAX = 12
/** Everything that opening, reading, appending and checking may read: some dozen times the whole log. */
const READ_BYTES_MAX = 160 * 1024 * 1024

type Field = readonly [at: number, width: number]
const anchor = (at: number): readonly Field[] => [
  [at, 8],
  [at + 8, 8],
  [at + 16, 8],
  [at + 24, 4],
  [at + 28, 4],
  [at + 32, 4],
  [at + 36, 4],
]
const life = (at: number): readonly Field[] => [
  [at, 4],
  [at + 8, 8],
  [at + 16, 8],
  [at + 24, 8],
  [at + 32, 8],
]
const SUPERBLOCK_FIELDS: readonly Field[] = [
  [0, 8],
  [8, 4],
  [12, 4],
  [16, 4],
  [32, 8],
  [40, 8],
  [48, 8],
  [56, 8],
  [64, 1],
  [65, 1],
  [68, 4],
  [72, 4],
  ...anchor(80),
  ...anchor(120),
  [160, 8],
  [168, 8],
  [176, 8],
  [184, 8],
  ...life(224),
  ...life(264),
  ...life(304),
  ...life(344),
]
const GROUP_FIELDS: readonly Field[] = [
  [0, 4],
  [4, 1],
  [5, 1],
  [6, 2],
  [8, 8],
  [16, 4],
  [20, 4],
  [24, 8],
  [32, 4],
  [36, 4],
  [40, 8],
  [48, 8],
  [56, 8],
  [64, 8],
  [72, 8],
  [80, 8],
  [88, 4],
]
const FRAME_FIELDS: readonly Field[] = [
  [4, 1],
  [5, 1],
  [8, 4],
  [12, 4],
  [16, 8],
  [24, 8],
  [32, 4],
  [36, 4],
  [40, 8],
  [48, 8],
  [64, 8],
  [72, 8],
  [80, 4],
]
const CHECKPOINT_FIELDS: readonly Field[] = [
  [0, 8],
  [8, 4],
  [12, 4],
  [16, 4],
  [20, 4],
  [24, 4],
  [28, 4],
  [40, 8],
  [48, 8],
  [56, 8],
  [64, 8],
  ...anchor(72),
]

/** What lies in an image, for edits that know where things are. */
interface Stock {
  readonly image: RingImage
  readonly disk: FlipDisk
  /** Offsets on the disk of group headers: of data, and of checkpoints. */
  readonly groups: readonly number[]
  readonly checkpoints: readonly number[]
}

async function stockOf(image: RingImage): Promise<Stock> {
  const { list } = await placesOf(image.bytes)
  const starts = (kind: string): number[] =>
    list.filter((place) => place.kind === kind).flatMap(({ from }) => (from % 4096 === 0 ? [from] : []))
  return { image, disk: new FlipDisk(image.bytes), groups: starts('group header'), checkpoints: starts('checkpoint') }
}

function sealSlot(disk: FlipDisk, slot: number): void {
  const bytes = Buffer.from(disk.peek(slot * SLOT_BYTES, SLOT_BYTES))
  const length = Math.min(SLOT_BYTES, Math.max(4096, bytes.readUInt32LE(12)))
  const whole = bytes.subarray(0, length)
  bytes.writeUInt32LE(crc32(whole.subarray(224), crc32(whole.subarray(0, 220))), 220)
  disk.poke(bytes, slot * SLOT_BYTES)
}

/** Makes the CRCs of the group at `at` true: its frames' or its body's, then its own. */
function sealGroup(disk: FlipDisk, at: number): void {
  const header = Buffer.from(disk.peek(at, 96))
  const bodyBytes = Math.min(header.readUInt32LE(32), disk.sizeBytes - at - 96)
  const body = Buffer.from(disk.peek(at + 96, bodyBytes))
  let digest = 0
  if (header[5] === 2) digest = crc32(body)
  else
    for (let frame = 0, left = header.readUInt32LE(36); left > 0 && frame + 96 <= body.length; left--) {
      const next = sealFrame(body, frame)
      digest = crc32(body.subarray(frame + 92, frame + 96), digest)
      frame = next
    }
  header.writeUInt32LE(digest, 88)
  header.writeUInt32LE(crc32(header.subarray(0, 92)), 92)
  disk.poke(body, at + 96)
  disk.poke(header, at)
}

/** Carries out one record. */
function edit({ disk, groups, checkpoints }: Stock, record: Buffer): void {
  const op = (record[0] as number) % 9
  const pick = <T>(items: readonly T[], at: number): T | undefined =>
    items[record.readUInt16LE(at) % Math.max(1, items.length)]
  const flags = record[1] as number
  const poke = (base: number, [at, width]: Field): void => {
    const number = Buffer.from(disk.peek(base + at, width))
    const nudge = (flags & 4) !== 0 && width <= 6
    const value = nudge
      ? (number.readUIntLE(0, Math.min(6, width)) + record.readInt8(8)) & 0xffff_ffff
      : (flags & 8) !== 0
        ? (INTERESTING[(record[8] as number) % INTERESTING.length] as number)
        : Number(record.readBigUInt64LE(8))
    putNumber(number, 0, Math.max(0, value), width, false)
    disk.poke(number, base + at)
  }
  const seal = (flags & 1) === 0
  switch (op) {
    case 0:
    case 1: {
      const field = pick(SUPERBLOCK_FIELDS, 4) as Field
      for (const slot of op === 0 ? [0, 1] : [flags >> 7]) {
        poke(slot * SLOT_BYTES, field)
        if (seal) sealSlot(disk, slot)
      }
      return
    }
    case 2:
    case 3:
    case 4: {
      const at = pick(op === 4 ? checkpoints : groups, 2)
      if (at === undefined) return
      if (op === 2) poke(at, pick(GROUP_FIELDS, 4) as Field)
      else if (op === 3) poke(at + 96 + frameOffset(disk, at, record[6] as number), pick(FRAME_FIELDS, 4) as Field)
      else poke(at + (flags & 16 ? 0 : 96), pick(flags & 16 ? GROUP_FIELDS : CHECKPOINT_FIELDS, 4) as Field)
      if (seal) sealGroup(disk, at)
      return
    }
    case 5: {
      const [from, to] = [pick(groups, 2), pick([...groups, ...checkpoints], 4)]
      if (from === undefined || to === undefined) return
      const length = Math.min(4096 * (1 + (record[6] as number)), disk.sizeBytes - Math.max(from, to))
      return disk.poke(Buffer.from(disk.peek(from, length)), to)
    }
    case 6:
      return disk.poke(record.subarray(8, 8 + 1 + (flags % 8)), record.readUInt32LE(2) % disk.sizeBytes)
    case 7: {
      const at = (record.readUInt16LE(2) % 512) * 4096
      return disk.poke(Buffer.alloc(4096 * (1 + (record[6] as number) / 8), flags & 2 ? 0xff : 0), at)
    }
    default:
      disk.cut(((flags & 2) !== 0 ? 2 * 1024 * 1024 : 0) + (record.readUInt32LE(2) % (1024 * 1024)))
  }
}

/** Offset in the group's body of its frame with this number, or of the last that can be found. */
function frameOffset(disk: FlipDisk, group: number, number: number): number {
  let at = 0
  for (let left = number % 8; left > 0; left--) {
    const next = at + 96 + disk.peek(group + 96 + at, 96).readUInt32LE(80)
    if (group + 192 + next > disk.sizeBytes || disk.peek(group + 96 + next, 4).toString('latin1') !== 'SLNK') break
    at = next
  }
  return at
}

async function reopen(disk: FlipDisk, { rule, owner }: RingImage): Promise<OpenedLog> {
  return openRingLog({
    disk,
    mode: 'open',
    rule,
    listener: silentListener(owner),
    clock: new SimClock(),
    random: new Prng(1),
    recentBytesMax: 0,
    payloadCheckFrom: (found) => (found.length % 2 === 0 ? 0 : null),
  })
}

/** Everything from the tail to the end, a line each. */
async function contentsOf(log: RingLog): Promise<string[]> {
  const lines: string[] = []
  const cursor = log.cursor(log.tail)
  for (let read = await cursor.next(1 << 18); read !== null; read = await cursor.next(1 << 18)) {
    hold(read.length > 0, 'a cursor answers something or null')
    for (const item of read)
      lines.push(
        'frame' in item
          ? `${item.position} ${item.frame.lsn} ${item.frame.headerCrc}`
          : `hole ${item.position}..${item.end} ${item.firstLsn}..${item.lastLsn}`,
      )
    hold(lines.length < 100_000, 'a cursor comes to an end')
  }
  cursor.close()
  return lines
}

function refusal(error: unknown): string {
  hold(error instanceof LogError, `a log is refused with a LogError, not: ${(error as Error).stack ?? String(error)}`)
  hold(Object.hasOwn(LOG_CODES, error.code) && error.message !== '', `${error.code} is a documented code`)
  return error.code
}

/** What `log ls`, `log show` and `log check` do; they may answer with the disk's own error as well. */
async function inspect(disk: FlipDisk): Promise<void> {
  try {
    const { superblock } = await inspectLog(disk)
    if (superblock !== null) for await (const step of listLog(disk, superblock)) if (step.kind === 'end') break
    await checkLog(disk)
  } catch (error) {
    if (!(error instanceof DiskError)) refusal(error)
  }
}

async function feed(stock: Stock, input: Buffer): Promise<string> {
  const { disk, image } = stock
  for (let at = 1; at + RECORD_BYTES <= input.length && at < RECORDS_MAX * RECORD_BYTES; at += RECORD_BYTES)
    edit(stock, input.subarray(at, at + RECORD_BYTES))
  if (disk.sizeBytes >= RING_OFFSET) await inspect(disk)
  const before = { crc: crc32(disk.peek()), writes: disk.writes }
  let opened: OpenedLog
  try {
    opened = await reopen(disk, image)
  } catch (error) {
    const code = refusal(error)
    hold(disk.writes === before.writes && crc32(disk.peek()) === before.crc, `${code} leaves the disk as it was`)
    return code
  }
  const { log, report } = opened
  const contents = await contentsOf(log).catch((error: unknown) => refusal(error))
  if (typeof contents === 'string') return `opened, then ${contents}`
  for await (const { runs } of log.regionsBetween(log.tail, log.writtenEnd))
    hold(runs === null || runs.length >= 0, 'regions')
  const again = await reopen(disk, image)
  const found = await contentsOf(again.log)
  hold(
    JSON.stringify(found) === JSON.stringify(contents),
    `the next opening finds the same: ${contents.length} and ${found.length}`,
  )
  append(again.log, image)
  return `opened, ${report.holes.length === 0 ? '' : 'holes '}${report.cutBytes > 0 ? 'cut ' : ''}${contents.length === 0 ? 'empty' : ''}`
}

/** An owner appends behind whatever was found. */
function append(log: RingLog, { rule }: RingImage): void {
  if (!log.hasRoom(1, 100)) return
  const lsn = rule === 'dense' ? log.lastLsn + 1 : log.lastLsn
  if (!Number.isSafeInteger(lsn)) return
  const fields = { type: FrameType.write, lsn, incarnation: log.incarnation.number, previousCrc: log.lastHeaderCrc }
  log.append(encodeFrame({ ...fields, logId: log.identity, deviceId: 1, length: 100 }, Buffer.alloc(100, 1)))
}

export async function ringLogTarget(): Promise<Target> {
  const stocks: Stock[] = []
  for (const rule of ['dense', 'monotone'] as const)
    for (const stop of ['clean', 'killed'] as const)
      stocks.push(await stockOf(await makeRingImage('fuzz', { rule, stop })))
  const record = (image: number, ...bytes: readonly number[]): Buffer =>
    Buffer.concat([Buffer.from([image]), Buffer.from(bytes), Buffer.alloc(RECORD_BYTES - bytes.length)])
  return {
    name: 'ring-log',
    seeds: [0, 1, 2, 3].flatMap((image) => [
      Buffer.from([image]),
      ...[0, 1, 2, 3, 4, 5, 6, 7, 8].map((op) => record(image, op)),
    ]),
    iterations: 500,
    bytesMax: 1 + RECORDS_MAX * RECORD_BYTES,
    allocationBytesMax: () => 256 * 1024 * 1024,
    mutate: (input, prng) => {
      const bytes = Buffer.concat([input, prng.chance(0.3) ? prng.bytes(RECORD_BYTES) : Buffer.alloc(0)])
      const records = Math.floor((bytes.length - 1) / RECORD_BYTES)
      if (records < 1) return Buffer.concat([bytes, prng.bytes(RECORD_BYTES)])
      const at = 1 + RECORD_BYTES * prng.below(records)
      prng.bytes(RECORD_BYTES).copy(bytes, at)
      // Mostly fields of superblocks, groups and checkpoints, with a good checksum and a number that is worth a try.
      if (prng.chance(0.7)) {
        bytes[at] = prng.pick([0, 0, 0, 1, 2, 2, 3, 4, 4])
        bytes[at + 1] = prng.pick([8, 8, 8, 12, 0, 24, 16])
      }
      return bytes
    },
    async feed(input) {
      const stock = stocks[(input[0] ?? 0) % stocks.length] as Stock
      stock.disk.restore()
      stock.disk.readBytesMax = READ_BYTES_MAX
      return feed(stock, input)
    },
  }
}
