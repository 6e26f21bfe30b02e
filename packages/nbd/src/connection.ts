/**
 * One client: a socket, its handshake, then its transmission phase.
 *
 * Owns the socket and the time limit of the handshake. Decides nothing about the protocol: bytes go to `Handshake` and
 * then to `Transmission`, and what they say is sent. Reports exactly once that the client has gone, after the socket is
 * closed and the device has answered its last request.
 */
import type { Socket } from 'node:net'
import { readInto } from '@sitelink/protocol/read-into'
import type { BudgetShare, ByteBudget } from './byte-budget.js'
import type { ConnectionReport, NbdEvent } from './events.js'
import type { ExportDirectory } from './export.js'
import { Handshake } from './handshake.js'
import type { NbdLimits } from './limits.js'
import { Transmission, type Wire } from './transmission.js'

/** Bytes of one read during the handshake, whose options are small. */
const HANDSHAKE_READ_BYTES = 4096

/** A clock's promise to call back. */
export interface Timer {
  cancel(): void
}

/** What a connection needs of its server. */
export interface ConnectionContext {
  readonly directory: ExportDirectory
  readonly limits: NbdLimits
  readonly payloadBudget: ByteBudget
  readonly replyBudget: ByteBudget
  after(ms: number, action: () => void): Timer
  defer(action: () => void): void
  log(event: NbdEvent): void
  onGone(connection: Connection): void
}

export class Connection implements Wire {
  readonly client: string
  readonly #socket: Socket
  readonly #context: ConnectionContext
  readonly #payloadShare: BudgetShare
  readonly #replyShare: BudgetShare
  /** Sizes of what was handed to the socket, oldest first. */
  readonly #sending: number[] = []
  readonly #onSent = (error?: Error | null): void => {
    const bytes = this.#sending.shift() ?? 0
    if (!error) this.#transmission?.onSent(bytes)
  }
  #phase: ConnectionReport['phase'] = 'handshake'
  #handshake: Handshake | null
  #transmission: Transmission | null = null
  #timer: Timer | null
  /** Why the connection ends; the first reason counts. */
  #reason: string | null = null
  #socketClosed = false
  #gone = false
  /** The client took its leave during the handshake. */
  #left = false

  constructor(socket: Socket, client: string, context: ConnectionContext) {
    this.client = client
    this.#socket = socket
    this.#context = context
    const { limits } = context
    const wake = (): void => this.#transmission?.wake()
    this.#payloadShare = context.payloadBudget.share(limits.connectionPayloadBytesMax, wake)
    this.#replyShare = context.replyBudget.share(limits.connectionReplyBytesMax, wake)
    this.#handshake = new Handshake(context.directory, limits)
    this.#timer = context.after(limits.handshakeMsMax, () => {
      this.#destroy(`the handshake took longer than ${limits.handshakeMsMax} ms`)
    })
    const room = (): Buffer => this.#transmission?.room() ?? Buffer.allocUnsafeSlow(HANDSHAKE_READ_BYTES)
    readInto(socket, room, (chunk) => this.#onData(chunk))
    socket.on('end', () => this.#onEnd())
    socket.on('error', (error) => {
      this.#reason ??= `the socket failed: ${error.message}`
    })
    socket.on('close', () => this.#onClose())
    socket.write(this.#handshake.greeting())
  }

  report(): ConnectionReport {
    const transmission = this.#transmission
    return {
      client: this.client,
      phase: transmission?.ending === true ? 'closing' : this.#phase,
      export: transmission?.session.export.name ?? null,
      requestsInFlight: transmission?.requestsInFlight ?? 0,
      payloadBytes: this.#payloadShare.takenBytes,
      replyBytes: this.#replyShare.takenBytes,
      waiting: transmission?.waiting ?? null,
      ...(transmission?.totals ?? { requestCount: 0, readBytes: 0, writtenBytes: 0 }),
    }
  }

  /** Takes no new work: a handshake ends at once, a transmission when its requests are answered. */
  shutDown(): void {
    if (this.#transmission !== null) this.#transmission.shutDown()
    else this.#destroy('the server is shutting down')
  }

  /** Closes at once. */
  abandon(reason: string): void {
    this.#destroy(reason)
  }

  send(chunks: readonly Buffer[], bytes: number): void {
    const socket = this.#socket
    const last = chunks.length - 1
    this.#sending.push(bytes)
    if (last === 0) {
      socket.write(chunks[0] as Buffer, this.#onSent)
      return
    }
    socket.cork()
    chunks.forEach((chunk, index) => {
      if (index < last) socket.write(chunk)
      else socket.write(chunk, this.#onSent)
    })
    socket.uncork()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  defer(turn: () => void): void {
    this.#context.defer(turn)
  }

  promptly(turn: () => void): void {
    queueMicrotask(turn)
  }

  finish(reason: string): void {
    if (this.#phase === 'closing') return
    this.#reason ??= reason
    this.#phase = 'closing'
    this.#timer?.cancel()
    this.#timer = this.#context.after(this.#context.limits.lingerMsMax, () => this.#socket.destroy())
    // What still arrives is thrown away: closing a socket over unread bytes may cost the client our last replies.
    this.#socket.resume()
    this.#socket.end()
  }

  fail(reason: string): void {
    this.#destroy(reason)
  }

  settled(): void {
    this.#maybeGone()
  }

  #onData(chunk: Buffer): void {
    if (this.#phase === 'transmission') this.#transmission?.receive(chunk)
    else if (this.#phase === 'handshake') this.#onHandshake(chunk)
  }

  #onHandshake(chunk: Buffer): void {
    if (this.#handshake === null) return
    const { replies, outcome } = this.#handshake.push(chunk)
    if (replies.length > 0) this.#socket.write(Buffer.concat(replies))
    switch (outcome.kind) {
      case 'more':
        return
      case 'aborted':
        this.#left = true
        return this.finish('the client took its leave during the handshake')
      case 'refused':
        return this.finish(outcome.reason)
      case 'transmission': {
        this.#timer?.cancel()
        this.#timer = null
        this.#handshake = null
        this.#phase = 'transmission'
        const { session } = outcome
        const { limits } = this.#context
        this.#transmission = new Transmission(session, limits, this, this.#payloadShare, this.#replyShare)
        const { client } = this
        this.#context.log({ kind: 'connected', client, export: session.export.name, structured: session.structured })
        session.export.connected?.(client)
        this.#transmission.receive(outcome.rest)
      }
    }
  }

  #onEnd(): void {
    if (this.#phase === 'transmission') this.#transmission?.receiveEnd()
    else if (this.#phase === 'handshake') this.finish('the client closed the connection during the handshake')
  }

  #destroy(reason: string): void {
    this.#reason ??= reason
    this.#phase = 'closing'
    this.#socket.destroy()
  }

  #onClose(): void {
    this.#socketClosed = true
    this.#phase = 'closing'
    this.#timer?.cancel()
    this.#timer = null
    this.#handshake = null
    this.#transmission?.onLost()
    this.#maybeGone()
  }

  #maybeGone(): void {
    if (!this.#socketClosed || this.#gone || (this.#transmission?.requestsInFlight ?? 0) > 0) return
    this.#gone = true
    const { client } = this
    const reason = this.#reason ?? 'the connection was lost'
    if (this.#transmission === null) {
      this.#context.log(this.#left ? { kind: 'left', client } : { kind: 'refused', client, reason })
    } else {
      const { session, totals } = this.#transmission
      this.#context.log({ kind: 'disconnected', client, export: session.export.name, reason, ...totals })
      session.export.disconnected?.(client)
    }
    this.#context.onGone(this)
  }
}
