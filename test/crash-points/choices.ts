/**
 * Which of the states that a power cut may leave are tried: all of them where they are few, a fixed selection where not.
 *
 * Owns the bound. Up to `allMax` states: every one. Beyond: nothing kept; everything; each sector alone lost, each alone
 * kept (of so many sectors, spread evenly over those that are unsynced); every prefix and every suffix of the writes in
 * their order, cut between writes and, up to the same number of places, inside them; every subset of whole writes where
 * these are few; of each area (the superblocks of a log, its ring, a device) that has few states every one, with all else
 * kept and with all else lost; and a sample of fixed seed, thin, even and thick. `CRASH_POINTS=all` lifts the bound.
 */
import { Prng } from '@sitelink/storage/testing'
import type { Choice, Slot, Version } from './host-states.js'

export interface Bound {
  /** States up to which all are tried. */
  readonly allMax: number
  /** States of one area up to which all are tried. */
  readonly areaMax: number
  /** Places at which one sector is taken alone, and at which the order is cut. */
  readonly placesMax: number
  /** Whole writes up to which every subset of them is tried. */
  readonly writesMax: number
  readonly sampleCount: number
}

/** For what is quickly recovered, for what takes longer, and for two hosts at a time. */
const USUAL: Bound = { allMax: 64, areaMax: 16, placesMax: 12, writesMax: 4, sampleCount: 6 }
const SMALL: Bound = { allMax: 32, areaMax: 16, placesMax: 4, writesMax: 2, sampleCount: 3 }
const TINY: Bound = { allMax: 8, areaMax: 2, placesMax: 1, writesMax: 1, sampleCount: 1 }
const LONG: Bound = { allMax: 4096, areaMax: 256, placesMax: 512, writesMax: 8, sampleCount: 200 }

const isLong = process.env['CRASH_POINTS'] === 'all'
export const BOUND: Bound = isLong ? LONG : USUAL
export const SMALL_BOUND: Bound = isLong ? LONG : SMALL
export const TINY_BOUND: Bound = isLong ? LONG : TINY

/** The choices that are tried; some may be the same. `areaOf`: slots with the same answer lie in one area. */
export function* choicesOf(
  slots: readonly Slot[],
  bound: Bound = BOUND,
  areaOf = (slot: Slot): string => slot.file,
): Generator<Choice> {
  if (statesOf(slots) <= bound.allMax) {
    yield* all(slots)
    return
  }
  const units = slots
    .flatMap(({ versions }, slot) => versions.slice(1).map((version) => ({ slot, version })))
    .sort((a, b) => a.version.order - b.version.order)
  const keep = (isKept: (version: Version, index: number) => boolean): Choice => {
    const choice = slots.map(() => 0)
    units.forEach(({ slot, version }, index) => {
      if (isKept(version, index)) choice[slot] = (slots[slot] as Slot).versions.indexOf(version)
    })
    return choice
  }
  yield keep(() => false)
  yield keep(() => true)
  for (const place of spread(units.length, bound.placesMax)) {
    yield keep((_, index) => index !== place)
    yield keep((_, index) => index === place)
    yield keep((_, index) => index < place)
    yield keep((_, index) => index >= place)
  }
  const writes = [...new Set(units.map(({ version }) => version.event))]
  for (const end of writes.slice(1)) {
    yield keep(({ event }) => event < end)
    yield keep(({ event }) => event >= end)
  }
  if (writes.length <= bound.writesMax) {
    for (let bits = 0; bits < 2 ** writes.length; bits++)
      yield keep(({ event }) => ((bits >> writes.indexOf(event)) & 1) === 1)
  }
  const newest = keep(() => true)
  const areas = new Map<string, number[]>()
  slots.forEach((slot, at) => areas.set(areaOf(slot), [...(areas.get(areaOf(slot)) ?? []), at]))
  for (const places of areas.values()) {
    const some = places.map((at) => slots[at] as Slot)
    if (statesOf(some) > bound.areaMax) continue
    for (const chosen of all(some)) {
      const version = new Map(places.map((at, index) => [at, chosen[index] as number]))
      yield slots.map((_, at) => version.get(at) ?? (newest[at] as number))
      yield slots.map((_, at) => version.get(at) ?? 0)
    }
  }
  const prng = new Prng(`${units.length} sectors of ${writes.length} writes`)
  for (let at = 0; at < bound.sampleCount; at++) {
    const share = [0.5, 0.9, 0.1][at % 3] as number
    yield keep(() => prng.chance(share))
  }
}

function statesOf(slots: readonly Slot[]): number {
  return slots.reduce((product, { versions }) => product * versions.length, 1)
}

function* all(slots: readonly Slot[]): Generator<Choice> {
  const choice = slots.map(() => 0)
  for (;;) {
    yield [...choice]
    let at = 0
    for (; at < slots.length; at++) {
      choice[at] = (choice[at] as number) + 1
      if ((choice[at] as number) < (slots[at] as Slot).versions.length) break
      choice[at] = 0
    }
    if (at === slots.length) return
  }
}

/** At most `max` of the numbers below `count`, spread evenly, first and last among them. */
function spread(count: number, max: number): number[] {
  if (count <= max) return Array.from({ length: count }, (_, at) => at)
  return [...new Set(Array.from({ length: max }, (_, at) => Math.round((at * (count - 1)) / (max - 1))))]
}
