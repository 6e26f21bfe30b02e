/**
 * How long to wait before the next attempt to reach a peer.
 *
 * Pure. Several addresses are tried one after the other at the shortest wait; each round of them doubles it. A part of it
 * is by chance, so that many who lost the same peer do not come back in the same moment.
 */
import type { Random } from '../entry/clock.js'

export interface BackoffTimes {
  /** Before the first round, in milliseconds. */
  readonly minMs: number
  /** At most, in milliseconds, before the part of chance: up to a quarter more or less. */
  readonly maxMs: number
}

/** Milliseconds to wait after `attempt` attempts, from 0, over so many addresses. */
export function backoffMs(attempt: number, addresses: number, { minMs, maxMs }: BackoffTimes, random: Random): number {
  const round = Math.floor(attempt / Math.max(1, addresses))
  const jitter = 0.75 + (random.bytes(1)[0] as number) / 512
  return Math.min(maxMs, minMs * 2 ** Math.min(round, 20)) * jitter
}
