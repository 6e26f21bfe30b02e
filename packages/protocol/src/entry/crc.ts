/**
 * The one checksum of Sitelink: CRC-32 (IEEE 802.3, reflected, polynomial 0xEDB88320, the one of zlib and PNG).
 *
 * Owns the choice of implementation: Node's own `zlib.crc32` where it exists (Node >= 20.15 and >= 22.2), else the
 * `crc-32` package. Both answer the same for the same bytes; the test holds them to the same known answers.
 */
import { createRequire } from 'node:module'
import * as zlib from 'node:zlib'

type Crc32 = (bytes: Uint8Array, seed?: number) => number

const native = (zlib as unknown as { crc32?: Crc32 }).crc32

/** The pure JavaScript implementation, used where Node has none. Exported for the known-answer test. */
export function portableCrc32(bytes: Uint8Array, seed = 0): number {
  portable ??= (createRequire(import.meta.url)('crc-32') as { buf: Crc32 }).buf
  return portable(bytes, seed) >>> 0
}
let portable: Crc32 | undefined

/** CRC-32 of `bytes` as an unsigned 32-bit number; `seed` is the CRC of the bytes before them, for running sums. */
export const crc32: (bytes: Uint8Array, seed?: number) => number = native ?? portableCrc32
