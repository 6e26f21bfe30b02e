/**
 * One interface for every way to reach a peer. Implementations: `tcp`, `memory`; others join them behind the same suite.
 *
 * Promises that the conformance suite holds each implementation to:
 * - Bytes arrive once, in order, unchanged, or the connection ends.
 * - Back-pressure is real: a writer that honours `write`'s answer keeps memory bounded even if the peer never reads;
 *   a reader that pauses stops the peer's writer before much is buffered.
 * - `closed` is called exactly once, after the last `data`; nothing is called afterwards. It may come without any
 *   reason (peer gone), with an error, or after our own `close`. After our own `close` or `destroy` only `closed` comes.
 * - A handler is called from events of the network and the clock only, never from within a method of the connection.
 * - A half-open peer (silence) is not detected here: that is the session's heartbeat.
 */
import type { Carrier, QuicMode } from './quic-mode.js'

/** What a connection calls. Set once, before the first event is delivered (events wait for it). */
export interface ConnectionHandler {
  /** Bytes from the peer. The buffer belongs to the receiver from now on and is not reused. */
  data(chunk: Buffer): void
  /**
   * Where the next bytes of the peer may be read into, at least one. Asked for again after each `data`, by connections
   * that can; others, and what came before, bring memory of their own.
   */
  room?(): Buffer
  /** Room again after a `write` that answered false. */
  drained(): void
  /** The end, whoever caused it. */
  closed(reason: Error | null): void
}

/** A bidirectional, ordered stream of bytes to one peer. */
export interface Connection {
  /** For logs and reports: transport and peer address. */
  readonly description: string
  /** Which protocol carries it; absent where the scheme of the address says that already. */
  readonly carrier?: Carrier
  /** Attaches the handler; may be called once. */
  attach(handler: ConnectionHandler): void
  /**
   * Queues buffers for sending, in order; they must not change until sent. False: the queue is over its mark, wait for
   * `drained` (the buffers are queued all the same). After the end it does nothing and answers false.
   */
  write(chunks: readonly Buffer[]): boolean
  /** Bytes that `write` took and that have not been handed to the network yet. */
  readonly queuedBytes: number
  /** Stops and restarts the delivery of `data`. */
  pause(): void
  resume(): void
  /** Sends what is queued, then ends; what still comes from the peer is thrown away. Waits for the peer without limit. */
  close(): void
  /** Ends at once, dropping what is queued. `closed` gets `reason`. */
  destroy(reason?: Error): void
}

/** A listening socket. */
export interface Listener {
  /** The address that peers can dial, with the port that was really taken: `tcp://127.0.0.1:40123`. */
  readonly address: string
  /** What it was to take and does not, at present, as a sentence without a full stop; null or absent: nothing. */
  readonly lacks?: string | null
  close(): Promise<void>
}

export interface DialOptions {
  /** Give up after so long. */
  readonly timeoutMs: number
  /** Give up when this fires. */
  readonly signal?: AbortSignal
  /** Whether `https://` goes over HTTP/3; without it the transport's own choice counts. */
  readonly quic?: QuicMode
}

export interface Transport {
  /** Address scheme without colon: `tcp`, `memory`. */
  readonly scheme: string
  /** Opens a connection; rejects with a coded error that says why. */
  dial(address: string, options: DialOptions): Promise<Connection>
  /** Listens; `accepted` is called for each new connection. Rejects if the address cannot be had. */
  listen(address: string, accepted: (connection: Connection) => void): Promise<Listener>
}
