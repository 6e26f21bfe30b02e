/**
 * Assertions about our own code, always on.
 *
 * They are for what only a bug can break; what a client or a device may do wrong has an answer in the protocol instead.
 */

/** A bug in this package, or in the device behind an export. Nobody should catch it. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Throws `AssertionError` with `sentence` unless `condition` holds. */
export function assert(condition: boolean, sentence: string): asserts condition {
  if (!condition) throw new AssertionError(sentence)
}
