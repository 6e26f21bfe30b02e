/**
 * Fall-behind: when an asynchronous site has to be waited for.
 *
 * Owns the comparison of spec 4.9 and nothing else; pure. Strictly greater enters, at or below leaves; 0 never. What
 * counts is what the site has not *received*. Resync traffic is not counted: it is not something a writer waits for.
 */

/** Thresholds; 0 means no limit. Any one that is exceeded triggers. */
export interface FallBehind {
  /** Entries. */
  readonly ios: number
  /** Payload bytes. */
  readonly bytes: number
  /** Age of the oldest entry, in milliseconds. */
  readonly timeoutMs: number
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

/** True if any threshold is set. */
export function isLimited(limit: FallBehind): boolean {
  return limit.ios > 0 || limit.bytes > 0 || limit.timeoutMs > 0
}
