/**
 * What each byte of a ring image is for: found out once, from the undamaged image.
 *
 * Owns the map that proves a flip harmless: by where it is, not by what came of it. `live`: entries and the groups that
 * carry them, up to the end of the log. Everything else carries nothing, or something that also stands elsewhere.
 */
import { checkLog, inspectLog, listLog } from '@sitelink/storage'
import { hold } from '../engine/target.js'
import { FlipDisk } from '../worlds/flip-disk.js'

export type PlaceKind =
  /** A superblock slot, as far as it is written: the other slot has the same. */
  | 'superblock copy'
  /** Behind what is written of a slot. */
  | 'superblock slack'
  /** A header or payload of an entry that counts. */
  | 'entry'
  /** The header of a group of entries. */
  | 'group header'
  /** A checkpoint: a short cut, whose contents follow from the entries. */
  | 'checkpoint'
  /** From the end of a group to the next block. */
  | 'fill'
  /** Parts of the ring that hold nothing of the present log: freed, void or never written. */
  | 'old ring space'

export interface Place {
  readonly from: number
  readonly to: number
  readonly kind: PlaceKind
}

const SLOT_BYTES = 128 * 1024
const RING_OFFSET = 2 * SLOT_BYTES

export interface Places {
  /** Disjoint, in order, without a gap. */
  readonly list: readonly Place[]
  /** Everything below was durable once, as the image itself says: flips there may cost entries, never cut them. */
  readonly markPosition: number
  /** Where the log ends. */
  readonly endPosition: number
  readonly tailPosition: number
}

export async function placesOf(image: Buffer): Promise<Places> {
  const disk = new FlipDisk(image)
  const { superblock } = await inspectLog(disk)
  hold(superblock !== null, 'the image has a superblock')
  const { problems } = await checkLog(disk)
  hold(problems.length === 0, `the image is whole: ${JSON.stringify(problems)}`)
  const { ringBytes } = superblock
  const kinds: PlaceKind[] = []
  const paint = (from: number, to: number, kind: PlaceKind): void => {
    for (let at = from; at < to; at++) kinds[at] = kind
  }
  const paintRing = (from: number, to: number, kind: PlaceKind): void => {
    for (let at = from; at < to; at++) kinds[RING_OFFSET + (at % ringBytes)] = kind
  }
  paint(0, image.length, 'old ring space')
  for (const slot of [0, 1]) {
    paint(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES, 'superblock slack')
    paint(slot * SLOT_BYTES, slot * SLOT_BYTES + image.readUInt32LE(slot * SLOT_BYTES + 12), 'superblock copy')
  }
  let markPosition = Math.max(superblock.durableEnd, superblock.tail.position)
  let endPosition = superblock.tail.position
  for await (const step of listLog(disk, superblock)) {
    hold(step.kind !== 'hole', 'the image has no hole')
    if (step.kind === 'end') break
    const { header } = step
    markPosition = Math.max(markPosition, header.durableEnd)
    const bodyAt = header.position + 96
    if (step.kind === 'checkpoint') paintRing(header.position, bodyAt + header.bodyBytes, 'checkpoint')
    else {
      paintRing(header.position, bodyAt, 'group header')
      for (const item of step.items) paintRing(item.position, item.end, 'entry')
    }
    const last = step.kind === 'data' ? (step.items.at(-1)?.end ?? bodyAt) : bodyAt + header.bodyBytes
    paintRing(last, Math.ceil(last / 4096) * 4096, 'fill')
    endPosition = step.end
  }
  const list: Place[] = []
  for (let at = 0; at < image.length;) {
    let to = at
    while (to < image.length && kinds[to] === kinds[at]) to++
    list.push({ from: at, to, kind: kinds[at] as PlaceKind })
    at = to
  }
  return { list, markPosition, endPosition, tailPosition: superblock.tail.position }
}

/** What the byte at this offset of the disk is for. */
export function placeAt(places: Places, offset: number): Place {
  let low = 0
  let high = places.list.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((places.list[middle] as Place).to <= offset) low = middle + 1
    else high = middle
  }
  return places.list[low] as Place
}
