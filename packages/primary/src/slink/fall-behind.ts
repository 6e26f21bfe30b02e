/**
 * Fall-behind: when an asynchronous site has to be waited for.
 *
 * Owns the comparison of spec 4.9 and nothing else; pure. Strictly greater enters, at or below leaves; 0 never. With a
 * resume share a site that is waited for leaves at or below that part of every limit, so that it does not toggle with
 * each write. What counts is what the site has not *received*. Resync traffic is not counted: it is not something a
 * writer waits for.
 */
import { FALL_BEHIND_RESUME_PERCENT_MAX } from '../limits.js'

/** Thresholds; 0 means no limit. Any one that is exceeded triggers. */
export interface FallBehind {
  /** Entries. */
  readonly ios: number
  /** Payload bytes. */
  readonly bytes: number
  /** Age of the oldest entry, in milliseconds. */
  readonly timeoutMs: number
  /**
   * Part of the limits, in percent, at or below which a site that exceeded one is waited for no longer; from 1. Not
   * there: 100, the limits themselves. It is never there as 100, so that equal limits are equal objects.
   */
  readonly resumePercent?: number
}

/** What a site has not received yet. */
export interface Outstanding {
  readonly ios: number
  readonly bytes: number
  /** Age of the oldest such entry in milliseconds; null if there is none. */
  readonly ageMs: number | null
}

export const NO_LIMIT: FallBehind = { ios: 0, bytes: 0, timeoutMs: 0 }

/** Which threshold is exceeded, or null. */
export function exceeds(limit: FallBehind, outstanding: Outstanding): 'ios' | 'size' | 'timeout' | null {
  if (limit.ios > 0 && outstanding.ios > limit.ios) return 'ios'
  if (limit.bytes > 0 && outstanding.bytes > limit.bytes) return 'size'
  if (limit.timeoutMs > 0 && outstanding.ageMs !== null && outstanding.ageMs > limit.timeoutMs) return 'timeout'
  return null
}

/** Which threshold a site is waited for by, or null; `forced`: it is waited for now. */
export function forces(
  limit: FallBehind,
  outstanding: Outstanding,
  forced: boolean,
): 'ios' | 'size' | 'timeout' | null {
  return exceeds(forced ? shareOf(limit) : limit, outstanding)
}

/** The resume share of the limits: not rounded, so that one of 1 does not become none. */
function shareOf(limit: FallBehind): FallBehind {
  const percent = resumePercentOf(limit)
  const share = (of: number): number => (of * percent) / FALL_BEHIND_RESUME_PERCENT_MAX
  return { ios: share(limit.ios), bytes: share(limit.bytes), timeoutMs: share(limit.timeoutMs) }
}

/** The share in percent, 1 to 100. */
export function resumePercentOf({ resumePercent }: FallBehind): number {
  return resumePercent ?? FALL_BEHIND_RESUME_PERCENT_MAX
}

/** The limits with this resume share, in percent; 100 is left out. */
export function withResume({ ios, bytes, timeoutMs }: FallBehind, percent: number): FallBehind {
  const limits = { ios, bytes, timeoutMs }
  return percent === FALL_BEHIND_RESUME_PERCENT_MAX ? limits : { ...limits, resumePercent: percent }
}

/** Why a slink cannot have these limits, as the end of a sentence; null if it can. */
export function fallBehindProblem(limit: FallBehind, mode: 'sync' | 'async'): string | null {
  if (mode === 'sync' && isLimited(limit))
    return 'a sync slink never falls behind: fall-behind limits are for async ones'
  if (limit.resumePercent !== undefined && !isLimited(limit))
    return 'a share to resume at is a share of limits, and there is none: ios, size or timeout'
  return null
}

/** True if any threshold is set. */
export function isLimited(limit: FallBehind): boolean {
  return limit.ios > 0 || limit.bytes > 0 || limit.timeoutMs > 0
}
