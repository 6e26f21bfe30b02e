/**
 * What was thrown, as a sentence for the peer. Pure.
 */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
