/**
 * Whether closed layers are left where they are for now, because writers are at work.
 *
 * Pure. The processor and the disk that would move layers to the devices answer writers meanwhile, and what is moved
 * after a rush is merged and sorted over more of it. Never for long: the log, the table of intervals and a restart bound
 * it, and it ends at once where somebody waits for the devices. Memory does not: what does not fit is in the log, and is
 * read from there in long stretches.
 */
import type { WriteBackLimits } from './limits.js'

/** `rushEntries` that follow another one in its commit group, within this time, make a rush: a thousand a second by default. */
const RUSH_MS = 64
/** It is over once so long nothing of it was seen. */
const CALM_MS = 100
/** How often somebody looks whether it is over. */
export const PUT_OFF_LOOK_MS = 20

/** Share of the intervals that may wait: the rest is for what comes while the first of it is written. */
const ROOM_SHARE = 0.75

/** Sees whether entries come fast, and several at once: writers wait for the processor then, not the other way round. */
export class Rush {
  #markMs = Number.NEGATIVE_INFINITY
  #seenMs = Number.NEGATIVE_INFINITY
  #spent = false

  /** `rushEntries` more have come. */
  mark(nowMs: number): void {
    if (nowMs - this.#markMs <= RUSH_MS) {
      if (!this.#isOn(nowMs)) this.#spent = false
      this.#seenMs = nowMs
    }
    this.#markMs = nowMs
  }

  lasts(nowMs: number): boolean {
    return this.#isOn(nowMs) && !this.#spent
  }

  /** What may be put off was: until it is over, devices keep up, and what they are given is still in memory. */
  spend(): void {
    this.#spent = true
  }

  #isOn(nowMs: number): boolean {
    return nowMs < this.#seenMs + CALM_MS
  }
}

/** What is noted, over all layers. */
interface Noted {
  readonly rush: Rush
  readonly intervalCount: number
}

/**
 * True if a rush may keep what is noted from the devices for now. `openedAtMs`: when the oldest layer that is not on its
 * devices was opened; `lagBytes`: log bytes that are noted and not applied.
 */
export function isPutOff(
  { rush, intervalCount }: Noted,
  openedAtMs: number,
  lagBytes: number,
  nowMs: number,
  limits: WriteBackLimits,
): boolean {
  if (!rush.lasts(nowMs)) return false
  const fits =
    nowMs < openedAtMs + limits.putOffMsMax &&
    lagBytes <= limits.putOffBytesMax &&
    intervalCount <= ROOM_SHARE * limits.intervalsMax
  if (!fits) rush.spend()
  return fits
}
