/**
 * Who has to let go when the ring runs short.
 *
 * Pure. Only remote slinks that really hold the tail back are looked at: below the local devices' position and below
 * every site that is not guilty, so that dropping them frees space and dropping others would not. Slink 0 is never
 * dropped; `stall` lets the writers wait; `fail` gives them errors.
 */
import type { LogPosition } from '@sitelink/protocol'
import type { OverflowPolicy } from '../slink/guard.js'

export interface PinFacts {
  readonly number: number
  readonly pin: LogPosition
  readonly overflow: OverflowPolicy
  /** A session is streaming. */
  readonly streaming: boolean
}

export interface ShortageFacts {
  readonly ringBytes: number
  readonly usedBytes: number
  readonly end: LogPosition
  /** Position of the local devices. */
  readonly localPin: LogPosition
  readonly pins: readonly PinFacts[]
  /** A writer waits for room. */
  readonly starving: boolean
  /** Fill from which sites without a session are looked at before anybody waits. */
  readonly markingFill: number
}

export interface ShortageDecision {
  /** Fall back to their dirty logs. */
  readonly drop: readonly number[]
  /** Fail the writers. */
  readonly fail: readonly number[]
  /** Hold the writers: nothing is done, the operator is told. */
  readonly stall: readonly number[]
  /** The local devices hold the tail. */
  readonly local: boolean
}

const NOTHING: ShortageDecision = { drop: [], fail: [], stall: [], local: false }

/** A site is guilty if it pins more than this share of what is used, besides holding the tail. */
const GUILTY_SHARE = 0.5

/** Sites this close to the lowest pin hold the tail together; dropping one alone would free nothing. */
const LOWEST_SHARE = 0.25

export function judgeShortage(facts: ShortageFacts): ShortageDecision {
  const marking = facts.usedBytes > facts.ringBytes * facts.markingFill
  if (!facts.starving && !marking) return NOTHING
  const lowest = Math.min(facts.localPin, ...facts.pins.map((pin) => pin.pin))
  const used = facts.end - lowest
  const guilty = facts.pins.filter(
    (site) =>
      site.pin < facts.localPin &&
      facts.end - site.pin > used * GUILTY_SHARE &&
      site.pin - lowest <= used * LOWEST_SHARE,
  )
  const local = facts.starving && guilty.length === 0
  // Those without a session go first: what they free may be enough for the others.
  const dead = guilty.filter((site) => !site.streaming)
  const acted = dead.length > 0 || !facts.starving ? dead : guilty
  const of = (policy: OverflowPolicy): number[] =>
    acted.filter((site) => site.overflow === policy).map((site) => site.number)
  // Before anybody waits only marking begins: nobody is stalled or failed by it.
  return { drop: of('drop'), fail: facts.starving ? of('fail') : [], stall: facts.starving ? of('stall') : [], local }
}
