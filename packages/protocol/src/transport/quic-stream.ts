/**
 * A native QUIC connection with its one stream as a {@link ByteStream}.
 *
 * Owns both. Back-pressure is the library's: a write waits at the peer's window ({@link QUIC_WINDOW_BYTES}), and nothing
 * is read that nobody asked for. The library's objects must be held as long as they are used: it ends what is collected.
 */
import type { ByteStream } from './byte-stream.js'
import type { QuicConnection, QuicStream } from './quic-native.js'

/** Bytes that may be under way to a reader that does not read, each way. */
export const QUIC_WINDOW_BYTES = 4 * 1024 * 1024
/** Smaller reads cost a crossing each: 4 KiB gives a seventh of the throughput. */
const READ_BYTES = 256 * 1024

export class QuicByteStream implements ByteStream {
  readonly #connection: QuicConnection
  readonly #stream: QuicStream
  readonly #ended: () => void
  #destroyed = false

  /** `ended` is called once, by `destroy`. */
  constructor(connection: QuicConnection, stream: QuicStream, ended: () => void) {
    this.#connection = connection
    this.#stream = stream
    this.#ended = ended
  }

  async read(): Promise<Buffer | null> {
    const chunk = await this.#stream.read(READ_BYTES)
    return chunk === null ? null : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  }

  write(bytes: Buffer): Promise<void> {
    return this.#stream.write(bytes)
  }

  finish(): Promise<void> {
    return this.#stream.finishWrite()
  }

  destroy(): void {
    if (this.#destroyed) return
    this.#destroyed = true
    // The stream ends with its connection; its own verbs would wait behind a write that is stuck.
    this.#connection.abort()
    this.#ended()
  }
}
