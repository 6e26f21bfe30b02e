/**
 * A connection over any Node duplex stream that behaves like a socket: `net.Socket`, `tls.TLSSocket`.
 *
 * Owns one stream and keeps the promises of transport.ts over it: `closed` once, after the last data and after
 * everything else; no call from within a method; silence after an own `close` or `destroy`. It knows no addresses.
 */
import type { Duplex } from 'node:stream'
import { assert } from '../entry/assert.js'
import { ProtocolError, reasonOf } from '../errors.js'
import { readInto } from './read-into.js'
import type { Connection, ConnectionHandler } from './transport.js'

/** See the file's head. The stream must be connected, unread, and of nobody else from now on. */
export class SocketConnection implements Connection {
  readonly #stream: Duplex
  #handler: ConnectionHandler | null = null
  #paused = false
  /** We ended it: nothing but `closed` is told any more. */
  #ending = false
  #reason: Error | null = null
  /** The stream is gone. */
  #gone = false

  constructor(
    stream: Duplex,
    readonly description: string,
  ) {
    this.#stream = stream
    stream.on('error', (error: Error) => {
      this.#reason ??= this.#ending
        ? null
        : new ProtocolError('CONNECTION_LOST', { connection: this.description, why: reasonOf(error) }, { cause: error })
      // A TLS stream stays open after a record that was tampered with: an error is always the end.
      stream.destroy()
    })
    stream.on('drain', () => {
      if (!this.#ending) this.#handler?.drained()
    })
    stream.once('close', () => {
      this.#gone = true
      this.#handler?.closed(this.#reason)
    })
  }

  get queuedBytes(): number {
    return this.#gone ? 0 : this.#stream.writableLength
  }

  attach(handler: ConnectionHandler): void {
    assert(this.#handler === null, 'a connection is attached once')
    if (this.#gone) {
      process.nextTick(() => handler.closed(this.#reason))
      return
    }
    this.#handler = handler
    // Makes the stream flow, from the next tick on.
    const data = (chunk: Buffer): void => {
      if (!this.#ending) handler.data(chunk)
    }
    if (handler.room === undefined) this.#stream.on('data', data)
    else readInto(this.#stream, () => handler.room?.() as Buffer, data)
    if (this.#paused) this.#stream.pause()
    // Without a reader the end of input would never be seen, and the stream never close.
    if (this.#ending) this.#stream.resume()
  }

  write(chunks: readonly Buffer[]): boolean {
    const stream = this.#stream
    if (this.#ending || this.#gone || !stream.writable) return false
    if (chunks.length === 1) return stream.write(chunks[0] as Buffer)
    let room = true
    stream.cork()
    for (const chunk of chunks) room = stream.write(chunk)
    stream.uncork()
    return room
  }

  pause(): void {
    this.#paused = true
    if (this.#handler !== null && !this.#ending) this.#stream.pause()
  }

  resume(): void {
    this.#paused = false
    if (this.#handler !== null) this.#stream.resume()
  }

  close(): void {
    if (this.#ending || this.#gone) return
    this.#ending = true
    this.#stream.end()
    this.#stream.resume()
  }

  destroy(reason?: Error): void {
    if (this.#gone) return
    this.#ending = true
    this.#reason ??= reason ?? null
    this.#stream.destroy()
  }
}
