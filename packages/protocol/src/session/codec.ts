/**
 * The compressions that a packed frame may have, by their number on the wire.
 *
 * Owns the list and the bounds of each call; it decides nothing. Brotli is in every Node that this release runs on, zstd in
 * newer ones: a side says which it can read, and the other uses the best that both have. Unpacking allocates what was
 * announced and no more: output beyond it is an error before it is kept, and so are bytes behind the end.
 */
import * as zlib from 'node:zlib'

export interface Codec {
  /** On the wire, 1 to 255. */
  readonly id: number
  readonly name: string
  pack(bytes: Buffer): Buffer
  /** Throws where `bytes` are not exactly one stream of exactly `rawBytes`. */
  unpack(bytes: Buffer, rawBytes: number): Buffer
}

interface Unpacked {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}

/** Its options are those of every one-shot function of `node:zlib`. */
type OneShot = (bytes: Buffer, options: object) => Buffer

function codecOf(id: number, name: string, pack: OneShot, unpack: OneShot, params: object): Codec {
  return {
    id,
    name,
    pack: (bytes) => pack(bytes, { params, chunkSize: Math.max(1024, bytes.length) }),
    unpack: (bytes, rawBytes) => {
      const options = { maxOutputLength: rawBytes, chunkSize: Math.max(1024, rawBytes), info: true }
      const { buffer, engine } = unpack(bytes, options) as unknown as Unpacked
      if (buffer.length !== rawBytes)
        throw new RangeError(`${buffer.length} bytes came out, ${rawBytes} were announced`)
      if (engine.bytesWritten !== bytes.length) throw new RangeError('there are bytes behind the end of what is packed')
      return buffer
    },
  }
}

/** The window of what is packed: all of a run; a reader needs no more memory than that. */
const WINDOW_BITS = 20

const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN } = zlib.constants

/** Quality 1: as fast as zlib's best is slow (docs/decisions/0008). */
const BROTLI = codecOf(1, 'brotli', zlib.brotliCompressSync, zlib.brotliDecompressSync, {
  [BROTLI_PARAM_QUALITY]: 1,
  [BROTLI_PARAM_LGWIN]: WINDOW_BITS,
})

/** Null where this Node has none. */
function zstd(): Codec | null {
  const newer = zlib as unknown as Partial<Record<'zstdCompressSync' | 'zstdDecompressSync', OneShot>>
  const { zstdCompressSync, zstdDecompressSync } = newer
  const constants = zlib.constants as unknown as Partial<Record<string, number>>
  const level = constants['ZSTD_c_compressionLevel']
  if (zstdCompressSync === undefined || zstdDecompressSync === undefined || level === undefined) return null
  return codecOf(2, 'zstd', zstdCompressSync, zstdDecompressSync, { [level]: 1 })
}

/** Those that this process has, best first. */
export const CODECS: readonly Codec[] = [zstd(), BROTLI].filter((codec) => codec !== null)

/** Their numbers. */
export const CODEC_IDS: readonly number[] = CODECS.map(({ id }) => id)
