/**
 * A stored dirty log of a stranger at open: headers and bitmap sectors that lie, with checksums that do not.
 *
 * The input is a program over an image, as of the ring log: records of twelve bytes, each an edit of a field, a copy or a
 * cut, sealed again or not. Held to: an opening never rejects and answers a documented word with a reason; what
 * is not `ok` or `damaged` has every region dirty; another mapping's log is never written to; else a flush makes it
 * whole, and the next opening finds exactly the regions that the flush was asked to keep.
 */
import { crc32 } from 'node:zlib'
import { DirtyLog, DirtyLogError } from '@sitelink/storage'
import { Prng } from '@sitelink/storage/testing'
import { INTERESTING, putNumber } from '../engine/mutator.js'
import { hold, type Target } from '../engine/target.js'
import { makeDirtyImage, REGIONS, type DirtyImage } from '../worlds/dirty-image.js'
import { FlipDisk, providerOf } from '../worlds/flip-disk.js'

const RECORD_BYTES = 12
const RECORDS_MAX = 10
const PAGE_BYTES = 4096
const SECTOR_BYTES = 512
const HEADER_FIELDS = [
  [0, 4],
  [4, 2],
  [6, 2],
  [8, 8],
  [16, 8],
  [24, 4],
  [28, 4],
  [32, 8],
  [40, 8],
  [48, 8],
  [56, 8],
  [64, 4],
  [68, 1],
  [69, 4],
  [132, 1],
  [133, 4],
  [196, 4],
] as const
const SECTOR_FIELDS = [
  [0, 4],
  [4, 4],
  [8, 8],
  [16, 8],
  [24, 4],
  [32, 4],
  [300, 4],
] as const
const FOUND: ReadonlySet<string> = new Set(['ok', 'damaged', 'missing', 'unreadable', 'outdated', 'foreign'])

function edit(disk: FlipDisk, record: Buffer): void {
  const op = (record[0] as number) % 5
  const flags = record[1] as number
  const number =
    (flags & 8) === 0 ? (INTERESTING[(record[4] as number) % INTERESTING.length] as number) : record.readUInt32LE(4)
  const change = (
    base: number,
    fields: readonly (readonly [number, number])[],
    seal: (sector: Buffer) => void,
  ): void => {
    if (base + SECTOR_BYTES > disk.sizeBytes) return
    const sector = Buffer.from(disk.peek(base, SECTOR_BYTES))
    const [at, width] = fields[(record[2] as number) % fields.length] as readonly [number, number]
    const nudged = sector.readUIntLE(at, Math.min(6, width)) + record.readInt8(5)
    putNumber(sector, at, (flags & 4) === 0 ? number : Math.max(0, nudged), width, false)
    if ((flags & 1) === 0) seal(sector)
    disk.poke(sector, base)
  }
  switch (op) {
    case 0:
    case 1:
      return change(op * PAGE_BYTES, HEADER_FIELDS, (sector) =>
        sector.writeUInt32LE(crc32(sector.subarray(0, 508)), 508),
      )
    case 2: {
      const sectors = Math.max(1, Math.floor(disk.sizeBytes / SECTOR_BYTES) - 16)
      const base = 2 * PAGE_BYTES + (record.readUInt16LE(6) % sectors) * SECTOR_BYTES
      return change(base, SECTOR_FIELDS, (sector) =>
        sector.writeUInt32LE(crc32(sector.subarray(32), crc32(sector.subarray(0, 28))), 28),
      )
    }
    case 3: {
      const sectors = Math.max(1, Math.floor(disk.sizeBytes / SECTOR_BYTES))
      const piece = Buffer.from(disk.peek((record.readUInt16LE(2) % sectors) * SECTOR_BYTES, SECTOR_BYTES))
      return disk.poke(
        (flags & 2) === 0 ? piece : Buffer.alloc(SECTOR_BYTES),
        (record.readUInt16LE(6) % sectors) * SECTOR_BYTES,
      )
    }
    default:
      disk.cut(record.readUInt16LE(2))
  }
}

function runsOf(log: DirtyLog): string {
  return JSON.stringify([...log.bitmap.runs()])
}

async function feed(disk: FlipDisk, image: DirtyImage, input: Buffer): Promise<string> {
  disk.restore()
  disk.readBytesMax = 4 * 1024 * 1024
  for (let at = 1; at + RECORD_BYTES <= input.length && at < RECORDS_MAX * RECORD_BYTES; at += RECORD_BYTES)
    edit(disk, input.subarray(at, at + RECORD_BYTES))
  const place = { provider: providerOf(disk, 'file'), path: disk.description }
  const opening = await DirtyLog.open(place, image.identity)
  const { log, found, reason } = opening
  hold(FOUND.has(found), `${found} is a documented word`)
  hold((found === 'ok') === (reason === null) && reason !== '', `${found} has a reason: ${reason}`)
  hold(log.bitmap.regionCount === REGIONS, 'the bitmap has the regions of the device')
  if (found !== 'ok' && found !== 'damaged') hold(log.bitmap.dirtyCount === REGIONS, `${found} is all dirty`)
  hold(log.basePoint.lsn >= 0 && Number.isSafeInteger(log.basePoint.lsn), 'the base point is a point')
  const before = { writes: disk.writes, runs: runsOf(log) }
  let refused: unknown = null
  await log.flush({ incarnation: 2 ** 32 - 1, lsn: 2 ** 53 - 1 }).catch((error: unknown) => (refused = error))
  if (found === 'foreign') {
    hold(refused instanceof DirtyLogError && refused.code === 'DIRTY_LOG_FOREIGN', 'what is foreign is refused')
    hold(disk.writes === before.writes, 'what is foreign is not written to')
    return found
  }
  hold(refused === null, `a flush makes it whole: ${String(refused)}`)
  await log.close()
  const again = await DirtyLog.open(place, image.identity)
  hold(again.found === 'ok', `after a flush it is ok, not ${again.found}: ${again.reason}`)
  hold(runsOf(again.log) === before.runs, 'the next opening finds the regions that were flushed')
  return `${found} ${opening.resized ?? ''} ${reason?.replace(/\d+/g, '#').slice(0, 40) ?? ''}`
}

export async function dirtyLogTarget(): Promise<Target> {
  const images: { readonly image: DirtyImage; readonly disk: FlipDisk }[] = []
  for (const torn of [false, true]) {
    const image = await makeDirtyImage(new Prng('fuzz'), torn)
    images.push({ image, disk: new FlipDisk(image.bytes) })
  }
  return {
    name: 'dirty-log',
    seeds: [0, 1].flatMap((image) => [
      Buffer.from([image]),
      ...[0, 1, 2, 3, 4].map((op) => Buffer.concat([Buffer.from([image, op]), Buffer.alloc(RECORD_BYTES - 1)])),
    ]),
    iterations: 2500,
    bytesMax: 1 + RECORDS_MAX * RECORD_BYTES,
    allocationBytesMax: () => 4 * 1024 * 1024,
    mutate: (input, prng) => Buffer.concat([input, prng.bytes(RECORD_BYTES)]),
    feed: (input) => {
      const { image, disk } = images[(input[0] ?? 0) % 2] as (typeof images)[number]
      return feed(disk, image, input)
    },
  }
}
