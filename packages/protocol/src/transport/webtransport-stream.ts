/**
 * The one stream of a WebTransport session as a {@link ByteStream}, as the library gives it: without back-pressure.
 *
 * Owns session and stream. Wrapped into a {@link CreditedStream} before anybody uses it.
 */
import type { ByteStream } from './byte-stream.js'
import { endSession, type WtSession, type WtStream } from './webtransport-library.js'

export class WebTransportByteStream implements ByteStream {
  readonly #session: WtSession
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  readonly #ended: () => void
  readonly #failure: () => Error | null
  #destroyed = false

  /** `ended` is called once, by `destroy`. `failure`: what is known of why it broke, where the library does not say it. */
  constructor(session: WtSession, stream: WtStream, ended: () => void, failure: () => Error | null = () => null) {
    this.#session = session
    this.#reader = stream.readable.getReader() as ReadableStreamDefaultReader<Uint8Array>
    this.#writer = stream.writable.getWriter() as WritableStreamDefaultWriter<Uint8Array>
    this.#ended = ended
    this.#failure = failure
    // Whoever reads and writes is told; these only repeat it.
    for (const end of [this.#reader.closed, this.#writer.closed, this.#writer.ready]) end.catch(() => {})
  }

  async read(): Promise<Buffer | null> {
    const { done, value } = await this.#reader.read().catch((error: unknown) => {
      throw this.#failure() ?? error
    })
    return done ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  }

  write(bytes: Buffer): Promise<void> {
    if (this.#destroyed) return Promise.reject(new Error('the stream was ended here'))
    return this.#writer.write(bytes)
  }

  async finish(): Promise<void> {}

  destroy(): void {
    if (this.#destroyed) return
    this.#destroyed = true
    endSession(this.#session)
    this.#ended()
  }
}
