/**
 * The one checksum of Sitelink: CRC-32 (IEEE 802.3, reflected, polynomial 0xEDB88320, the one of zlib and PNG).
 *
 * Owns the choice of implementation. What is small goes to Node's own `zlib.crc32`, where it exists (Node >= 20.15 and >=
 * 22.2), else to the `crc-32` package; the rest to `@node-rs/crc32`, where that can be loaded. All answer the same for the
 * same bytes; the known-answer test holds them to it, and whoever fails it when it is loaded is not used.
 */
import { createRequire } from 'node:module'
import * as zlib from 'node:zlib'

type Crc32 = (bytes: Uint8Array, seed?: number) => number

/**
 * From so many bytes on the call of another package is worth it. It goes through 4 KiB in 0.5 us and a MiB in 60 where zlib
 * takes 2.5 and 590.
 */
const LARGE_BYTES_MIN = 512

const require = createRequire(import.meta.url)
const native = (zlib as unknown as { crc32?: Crc32 }).crc32

/** The pure JavaScript implementation, used where Node has none. Exported for the known-answer test. */
export function portableCrc32(bytes: Uint8Array, seed = 0): number {
  portable ??= (require('crc-32') as { buf: Crc32 }).buf
  return portable(bytes, seed) >>> 0
}
let portable: Crc32 | undefined

const small: Crc32 = native ?? portableCrc32

/** What large buffers are given to; looked for when the first one comes. */
let large: Crc32 = (bytes, seed) => {
  large = fastCrc32() ?? small
  return large(bytes, seed)
}

/** CRC-32 of `bytes` as an unsigned 32-bit number; `seed` is the CRC of the bytes before them, for running sums. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return bytes.length < LARGE_BYTES_MIN ? small(bytes, seed) : large(bytes, seed)
}

/**
 * The optional package, or null where it cannot be loaded or does not answer as the others do. `load` is another way to find
 * it, for the test.
 */
export function fastCrc32(load: () => unknown = () => require('@node-rs/crc32')): Crc32 | null {
  try {
    const { crc32: fast } = load() as { crc32: Crc32 }
    return isRight(fast) ? fast : null
  } catch {
    return null
  }
}

/** Whole and in two parts, of lengths that take every path: a vector and what is left, and one byte. */
function isRight(one: Crc32): boolean {
  const bytes = Buffer.from(Array.from({ length: 5000 }, (_, at) => (at * 31) & 0xff))
  return [0, 1, 7, 511, 4096, bytes.length].every((length) => {
    const [before, behind] = [bytes.subarray(0, length), bytes.subarray(length)]
    return one(before) === small(before) && one(behind, one(before)) === small(bytes)
  })
}
