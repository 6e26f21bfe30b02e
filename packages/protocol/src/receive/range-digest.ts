/**
 * The digest of a range, as both ends of a verify take it. Pure.
 *
 * SHA-256, because a verify is asked what a CRC has missed: bytes that rotted at one side, or a fault of this very program.
 */
import { createHash } from 'node:crypto'

/** Digest of the bytes of `pieces`, one behind the other. */
export function rangeDigest(pieces: readonly Buffer[]): Buffer {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest()
}
