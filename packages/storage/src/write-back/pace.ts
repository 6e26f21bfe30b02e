/**
 * When a layer is closed and when the devices are synced.
 *
 * Pure. Size bounds memory and the length of a turn, age bounds how long an idle group keeps something open, and shortness
 * of room makes either come early.
 */
import type { Layer } from './layer.js'
import { LAYER_GROWTH_MAX, type WriteBackLimits } from './limits.js'

/** True if the active layer of so many intervals is big or old enough to be closed. */
export function closeIsDue(active: Layer, intervals: number, nowMs: number, limits: WriteBackLimits): boolean {
  if (active.empty) return false
  return isBig(active, intervals, limits) || nowMs >= active.openedAtMs + limits.layerAgeMs
}

/** True if the layer is big enough to be closed. */
export function isBig(active: Layer, intervals: number, limits: WriteBackLimits): boolean {
  return active.end - active.start >= limits.layerBytes || intervals >= limits.layerIntervals
}

/** True if the layer is to be closed however many are: one turn plans its writes, and a restart notes a whole log at once. */
export function isTooBig(active: Layer, intervals: number, limits: WriteBackLimits): boolean {
  return (
    active.end - active.start >= LAYER_GROWTH_MAX * limits.layerBytes ||
    intervals >= LAYER_GROWTH_MAX * limits.layerIntervals
  )
}

/** What {@link syncIsDue} decides upon. */
export interface SyncFacts {
  readonly nowMs: number
  /** When the oldest layer that is not synced was first on its devices. */
  readonly writtenAtMs: number
  /** Log bytes that are on the devices and not synced. */
  readonly unsyncedBytes: number
  /** Log bytes that are noted and not applied. */
  readonly lagBytes: number
  readonly intervalCount: number
  /** Somebody waits for what is written, and nothing that he also waits for can be written before. */
  readonly hurry: boolean
}

/** True if what is on the devices is to be synced now. */
export function syncIsDue(facts: SyncFacts, limits: WriteBackLimits): boolean {
  return (
    facts.hurry ||
    facts.unsyncedBytes >= limits.syncBytes ||
    facts.nowMs >= facts.writtenAtMs + limits.syncMs ||
    2 * facts.intervalCount > limits.intervalsMax ||
    2 * facts.lagBytes > limits.lagBytesMax
  )
}

/** The next monotonic time at which age alone makes something due; Infinity if nothing waits for it. */
export function nextDueMs(active: Layer | null, oldestWritten: Layer | null, limits: WriteBackLimits): number {
  const closeMs = active === null || active.empty ? Number.POSITIVE_INFINITY : active.openedAtMs + limits.layerAgeMs
  const writtenAtMs = oldestWritten?.writtenAtMs ?? Number.POSITIVE_INFINITY
  return Math.min(closeMs, writtenAtMs + limits.syncMs)
}
