/**
 * A connection over a stream that is pulled (byte-stream.ts): QUIC, WebTransport.
 *
 * Owns one stream and keeps the promises of transport.ts over it. Holds at most one chunk that came while it was paused,
 * and {@link CONNECTION_QUEUE_BYTES} of a writer that honours `write`'s answer. A connection is over as soon as the end of
 * the peer is read: who ends first has said all, and throws away what it still gets, so that there is nothing left to say.
 */
import { assert } from '../entry/assert.js'
import { ProtocolError, reasonOf } from '../errors.js'
import { CONNECTION_QUEUE_BYTES } from '../limits.js'
import type { ByteStream } from './byte-stream.js'
import type { Connection, ConnectionHandler } from './transport.js'

/** Small chunks are gathered up to so many bytes for one write. */
const BATCH_BYTES = 256 * 1024

export interface PulledParts {
  readonly description: string
  /** Bytes that were read from the stream already. */
  readonly ahead: Buffer
  /** It is over, whoever ended it. Called once, before `closed`. */
  readonly ended: () => void
}

/** See the file's head. The stream is of nobody else from now on. */
export class PulledConnection implements Connection {
  readonly description: string
  readonly #stream: ByteStream
  readonly #ended: () => void
  #handler: ConnectionHandler | null = null
  /** Read and not handed on yet. */
  #ahead: Buffer | null
  #queue: Buffer[] = []
  #queuedBytes = 0
  #paused = false
  #reading = false
  #writing = false
  /** A `write` was answered with false. */
  #starved = false
  /** We close: nothing but `closed` is told any more. */
  #ending = false
  #over = false
  #reason: Error | null = null

  constructor(stream: ByteStream, { description, ahead, ended }: PulledParts) {
    this.#stream = stream
    this.description = description
    this.#ahead = ahead.length > 0 ? ahead : null
    this.#ended = ended
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  attach(handler: ConnectionHandler): void {
    assert(this.#handler === null, 'a connection is attached once')
    this.#handler = handler
    if (this.#over) this.#tell()
    else void this.#read()
  }

  write(chunks: readonly Buffer[]): boolean {
    if (this.#ending || this.#over) return false
    for (const chunk of chunks) {
      if (chunk.length === 0) continue
      this.#queue.push(chunk)
      this.#queuedBytes += chunk.length
    }
    void this.#send()
    if (this.#queuedBytes < CONNECTION_QUEUE_BYTES) return true
    this.#starved = true
    return false
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    void this.#read()
  }

  close(): void {
    if (this.#ending || this.#over) return
    this.#ending = true
    void this.#send()
    void this.#read()
  }

  destroy(reason?: Error): void {
    this.#ending = true
    this.#end(reason ?? null)
  }

  get #flows(): boolean {
    if (this.#over) return false
    // Without a reader the peer's end would never be seen.
    return this.#ending || (this.#handler !== null && !this.#paused)
  }

  /** Hands on what comes, one chunk after the other, while it flows. */
  async #read(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    await Promise.resolve() // never from within a method
    while (this.#flows) {
      let chunk = this.#ahead
      this.#ahead = null
      if (chunk === null) {
        try {
          chunk = await this.#stream.read()
        } catch (error) {
          this.#end(this.#lost(error))
          break
        }
        if (chunk === null) {
          this.#end(null)
          break
        }
      }
      if (this.#ending || this.#over) continue // thrown away
      if (this.#paused) this.#ahead = chunk
      else this.#handler?.data(chunk)
    }
    this.#reading = false
  }

  /** Writes what is queued, one batch after the other; then the end, if we close. */
  async #send(): Promise<void> {
    if (this.#writing) return
    this.#writing = true
    try {
      while (this.#queue.length > 0) {
        const batch = this.#batch()
        await this.#stream.write(batch)
        if (this.#over) return
        this.#queuedBytes -= batch.length
        if (this.#queuedBytes > 0 || !this.#starved || this.#ending) continue
        this.#starved = false
        this.#handler?.drained()
      }
      this.#writing = false
      if (this.#ending && !this.#over) await this.#stream.finish()
    } catch (error) {
      this.#end(this.#lost(error))
    }
  }

  #batch(): Buffer {
    const first = this.#queue[0] as Buffer
    let count = 1
    let bytes = first.length
    for (; count < this.#queue.length; count++) {
      const { length } = this.#queue[count] as Buffer
      if (bytes + length > BATCH_BYTES) break
      bytes += length
    }
    const taken = this.#queue.splice(0, count)
    return taken.length === 1 ? first : Buffer.concat(taken, bytes)
  }

  #lost(error: unknown): Error | null {
    if (this.#ending) return null
    return new ProtocolError(
      'CONNECTION_LOST',
      { connection: this.description, why: reasonOf(error) },
      { cause: error },
    )
  }

  #end(reason: Error | null): void {
    if (this.#over) return
    this.#over = true
    this.#reason = reason
    this.#queue = []
    this.#queuedBytes = 0
    this.#ahead = null
    this.#stream.destroy()
    this.#ended()
    if (this.#handler !== null) this.#tell()
  }

  #tell(): void {
    const handler = this.#handler as ConnectionHandler
    process.nextTick(() => handler.closed(this.#reason))
  }
}
