/**
 * Assertions for programmer errors, always on.
 *
 * A failed assertion is a bug in Sitelink, never bad input: the process is expected to crash and to recover from
 * its logs. Operating errors (a torn record, a refused peer, a full disk) are typed results or coded errors instead.
 */

/** Thrown by {@link assert}, {@link must} and {@link unreachable}; never caught except to log it and exit. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure'
}

/** Throws {@link AssertionFailure} with `sentence` unless `condition` holds. */
export function assert(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new AssertionFailure(sentence)
}

/** Returns `value`, which the caller knows to be present. */
export function must<T>(value: T | null | undefined, sentence: string): T {
  if (value === null || value === undefined) throw new AssertionFailure(sentence)
  return value
}

/** The end of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable case: ${JSON.stringify(value)}`)
}
