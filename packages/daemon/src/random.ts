/**
 * The real source of unpredictable bytes, for identities and tokens.
 *
 * The only file of the programs that asks the operating system for randomness; everything else takes a `Random`.
 */
import { randomBytes } from 'node:crypto'
import type { Random } from '@sitelink/protocol/entry'

/** {@link Random} over the kernel's generator. */
export class RealRandom implements Random {
  bytes(count: number): Buffer {
    return randomBytes(count)
  }
}
