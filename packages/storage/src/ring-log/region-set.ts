/**
 * Which regions of which devices a stretch of the log touches, in units of 1 MiB.
 *
 * Owns the set while it grows and its compact encoding. Exact: it holds every unit that an entry touches and no other.
 * One entry adds at most one number or one pair, so its memory is bounded by the entries of a segment. Without closures: they
 * are compiled anew after each collection of the whole heap (see part-writer.ts).
 *
 * Encoded, all numbers as LEB128: for each device by id: id minus the id before, count of runs, and for each run its
 * first unit minus the end of the run before, and its units minus one.
 */
import { assert, FrameType, type Frame } from '@sitelink/protocol/entry'
import type { RegionRun } from './contract.js'
import { REGION_UNIT_BYTES } from './limits.js'

/** True for frames that change a range of a device. */
export function touchesDevice(frame: Frame): boolean {
  if (frame.length === 0) return false
  const { type } = frame
  return (
    type === FrameType.write ||
    type === FrameType.zeroes ||
    type === FrameType.trim ||
    type === FrameType.copy ||
    type === FrameType.copyZeroes
  )
}

interface UnitRun {
  first: number
  count: number
}

function byFirst(a: UnitRun, b: UnitRun): number {
  return a.first - b.first
}

function ascending(a: number, b: number): number {
  return a - b
}

class DeviceRegions {
  readonly units = new Set<number>()
  readonly runs: UnitRun[] = []
  #last = -1

  note(offset: number, length: number): void {
    const first = Math.floor(offset / REGION_UNIT_BYTES)
    const last = Math.floor((offset + length - 1) / REGION_UNIT_BYTES)
    if (first !== last) {
      this.runs.push({ first, count: last - first + 1 })
      return
    }
    if (first === this.#last) return
    this.#last = first
    this.units.add(first)
  }

  merged(): UnitRun[] {
    const all = [...this.runs]
    for (const first of this.units) all.push({ first, count: 1 })
    all.sort(byFirst)
    const merged: UnitRun[] = []
    for (const { first, count } of all) {
      const before = merged.at(-1)
      if (before !== undefined && first <= before.first + before.count) {
        before.count = Math.max(before.count, first + count - before.first)
      } else merged.push({ first, count })
    }
    return merged
  }
}

export class RegionSet {
  readonly #devices = new Map<number, DeviceRegions>()
  #lastId = -1
  #last: DeviceRegions | null = null

  /** Notes a range in bytes; nothing for an empty one. */
  note(deviceId: number, offset: number, length: number): void {
    if (length === 0) return
    if (deviceId !== this.#lastId || this.#last === null) {
      this.#last = this.#devices.get(deviceId) ?? new DeviceRegions()
      this.#devices.set(deviceId, this.#last)
      this.#lastId = deviceId
    }
    this.#last.note(offset, length)
  }

  noteFrame(frame: Frame): void {
    if (touchesDevice(frame)) this.note(frame.deviceId, frame.offset, frame.length)
  }

  /** By device id, then by unit; disjoint and not adjacent. */
  runs(): RegionRun[] {
    const runs: RegionRun[] = []
    for (const deviceId of [...this.#devices.keys()].sort(ascending)) {
      const regions = this.#devices.get(deviceId) as DeviceRegions
      for (const { first, count } of regions.merged()) runs.push({ deviceId, firstUnit: first, unitCount: count })
    }
    return runs
  }
}

/** Encodes runs as {@link RegionSet.runs} orders them. */
export function encodeRuns(runs: readonly RegionRun[]): Buffer {
  const numbers: number[] = []
  let idBefore = 0
  for (let at = 0; at < runs.length;) {
    const { deviceId } = runs[at] as RegionRun
    let end = at
    while (end < runs.length && (runs[end] as RegionRun).deviceId === deviceId) end++
    numbers.push(deviceId - idBefore, end - at)
    idBefore = deviceId
    let unitBefore = 0
    for (const { firstUnit, unitCount } of runs.slice(at, end)) {
      assert(firstUnit >= unitBefore && unitCount >= 1, 'runs are sorted and disjoint')
      numbers.push(firstUnit - unitBefore, unitCount - 1)
      unitBefore = firstUnit + unitCount
    }
    at = end
  }
  return encodeVarints(numbers)
}

/** Decodes what {@link encodeRuns} wrote; null for anything else. */
export function decodeRuns(bytes: Buffer): RegionRun[] | null {
  const numbers = decodeVarints(bytes)
  if (numbers === null) return null
  const runs: RegionRun[] = []
  let deviceId = 0
  for (let at = 0; at < numbers.length;) {
    const count = numbers[at + 1]
    if (count === undefined || at + 2 + count * 2 > numbers.length) return null
    deviceId += numbers[at] as number
    at += 2
    let unit = 0
    for (let run = 0; run < count; run++, at += 2) {
      const firstUnit = unit + (numbers[at] as number)
      const unitCount = (numbers[at + 1] as number) + 1
      runs.push({ deviceId, firstUnit, unitCount })
      unit = firstUnit + unitCount
    }
  }
  return runs
}

function encodeVarints(numbers: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(numbers.length * 8)
  let at = 0
  for (let value of numbers) {
    while (value >= 0x80) {
      bytes[at++] = (value % 0x80) + 0x80
      value = Math.floor(value / 0x80)
    }
    bytes[at++] = value
  }
  return bytes.subarray(0, at)
}

function decodeVarints(bytes: Buffer): number[] | null {
  const numbers: number[] = []
  let value = 0
  let scale = 1
  for (const byte of bytes) {
    value += (byte & 0x7f) * scale
    if (value > Number.MAX_SAFE_INTEGER) return null
    if (byte >= 0x80) scale *= 0x80
    else {
      numbers.push(value)
      value = 0
      scale = 1
    }
  }
  return scale === 1 ? numbers : null
}
