/**
 * A stream of bytes that is pulled and not pushed, as QUIC and WebTransport give it; and a reader of exact lengths.
 *
 * Owns the face that {@link PulledConnection} and the proof of identities (proof-gate.ts) are built on. It knows no
 * protocol. What an {@link ExactReader} has read too much is handed on, never lost.
 */

/** One bidirectional stream, and all that exists for its sake. */
export interface ByteStream {
  /** The next bytes, at least one; they are the caller's. Null after the peer's end. Rejects where it broke. One at a time. */
  read(): Promise<Buffer | null>
  /** Resolves once the network has taken them, until then they must not change. Rejects where it broke. One at a time. */
  write(bytes: Buffer): Promise<void>
  /** Nothing more will be written: the peer reads the end behind what was. */
  finish(): Promise<void>
  /** Ends both directions at once. What is pending rejects. May be called again. */
  destroy(): void
}

/** The peer did what ends a stream; the message is the end of a sentence about it, and begins with "it". */
export class PeerError extends Error {}

/** Takes exact numbers of bytes from the beginning of a stream. */
export class ExactReader {
  readonly #stream: ByteStream
  #ahead: Buffer[] = []
  #aheadBytes = 0

  constructor(stream: ByteStream) {
    this.#stream = stream
  }

  /** Exactly so many bytes; null where the stream ends before. */
  async take(bytes: number): Promise<Buffer | null> {
    while (this.#aheadBytes < bytes) {
      const chunk = await this.#stream.read()
      if (chunk === null) return null
      this.#ahead.push(chunk)
      this.#aheadBytes += chunk.length
    }
    const { rest } = this
    this.#keep(rest.subarray(bytes))
    return rest.subarray(0, bytes)
  }

  /** What was read and not taken. */
  get rest(): Buffer {
    const rest = this.#ahead.length === 1 ? (this.#ahead[0] as Buffer) : Buffer.concat(this.#ahead)
    this.#keep(rest)
    return rest
  }

  #keep(rest: Buffer): void {
    this.#ahead = [rest]
    this.#aheadBytes = rest.length
  }
}
