/**
 * The NBD server: listeners, and the connections that come in through them.
 *
 * Owns the listening sockets, the number of connections and the memory that all of them share. Knows its exports only
 * through the directory. Reads no clock: the program passes in what calls back after a time.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { assert } from './assert.js'
import { ByteBudget } from './byte-budget.js'
import { Connection, type ConnectionContext, type Timer } from './connection.js'
import type { ConnectionReport, NbdEvent } from './events.js'
import type { ExportDirectory } from './export.js'
import { KEEP_ALIVE_MS, type NbdLimits, resolveLimits } from './limits.js'
import { ListenError } from './listen-error.js'
import { clearSocketPath, listenPrivately } from './unix-socket.js'

export interface NbdServerOptions {
  /** Calls `action` once after `ms` milliseconds, unless cancelled before. */
  readonly after: (ms: number, action: () => void) => Timer
  /** Calls `action` once the events at hand have been handled, before waiting for more. Default: `setImmediate`. */
  readonly defer?: (action: () => void) => void
  readonly limits?: Partial<NbdLimits>
  readonly log?: (event: NbdEvent) => void
}

/** Where to listen: a Unix socket, or TCP (`port` 0: any free one). */
export type ListenAddress = { readonly path: string } | { readonly host: string; readonly port: number }

export interface CloseResult {
  /** Requests that the device had not answered in time; it still may. */
  readonly abandonedRequestCount: number
}

export class NbdServer {
  readonly #context: ConnectionContext
  readonly #listeners = new Set<Server>()
  readonly #connections = new Set<Connection>()
  #clientCount = 0
  #closing: Promise<CloseResult> | null = null
  /** Set while closing: called when the last connection has gone. */
  #onEmpty: (() => void) | null = null

  constructor(directory: ExportDirectory, options: NbdServerOptions) {
    const limits = resolveLimits(options.limits)
    const { after, log } = options
    this.#context = {
      directory,
      limits,
      payloadBudget: new ByteBudget(limits.serverPayloadBytesMax, limits.connectionReserveBytes),
      replyBudget: new ByteBudget(limits.serverReplyBytesMax, limits.connectionReserveBytes),
      after,
      defer: options.defer ?? ((action) => void setImmediate(action)),
      log: log ?? (() => {}),
      onGone: (connection) => this.#onGone(connection),
    }
  }

  /** All connections, also those that have closed and wait for the device. */
  connections(): readonly ConnectionReport[] {
    return [...this.#connections].map((connection) => connection.report())
  }

  /** Bytes that all connections together hold now. */
  memory(): { readonly payloadBytes: number; readonly replyBytes: number } {
    const { payloadBudget, replyBudget } = this.#context
    return { payloadBytes: payloadBudget.takenBytes, replyBytes: replyBudget.takenBytes }
  }

  /**
   * Accepts clients at `address`, besides those where it listens already. Resolves with the address as it turned out.
   * A leftover socket file is replaced. Throws `ListenError`.
   */
  async listen(address: ListenAddress): Promise<ListenAddress> {
    assert(this.#closing === null, 'a server that is closing does not listen')
    if ('path' in address) await clearSocketPath(address.path)
    const listener = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    })
    const name = 'path' in address ? address.path : `${address.host}:${address.port}`
    await new Promise<void>((resolve, reject) => {
      listener.once('listening', resolve)
      listener.once('error', (error: NodeJS.ErrnoException) => {
        const reason = error.code === 'EADDRINUSE' ? 'in-use' : 'system'
        reject(new ListenError(reason, `cannot listen on ${name}: ${error.message}`, { cause: error }))
      })
      if ('path' in address) listenPrivately(listener, address.path)
      else listener.listen({ host: address.host, port: address.port })
    })
    listener.removeAllListeners('error')
    listener.on('error', (error) => this.#context.log({ kind: 'listener-failed', address: name, error }))
    listener.on('connection', (socket) => this.#onSocket(socket))
    if (this.#closing !== null) listener.close()
    else this.#listeners.add(listener)
    const bound = listener.address()
    return bound === null || typeof bound === 'string' ? address : { host: bound.address, port: bound.port }
  }

  /**
   * Accepts no more clients, answers new requests with ESHUTDOWN, waits for those in flight (at most `drainMsMax`), and
   * closes all connections. Calling it again returns the same promise.
   */
  close(): Promise<CloseResult> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<CloseResult> {
    for (const listener of this.#listeners) listener.close()
    this.#listeners.clear()
    let abandonedRequestCount = 0
    await new Promise<void>((resolve) => {
      const timer = this.#context.after(this.#context.limits.drainMsMax, () => {
        for (const connection of this.#connections) {
          abandonedRequestCount += connection.report().requestsInFlight
          connection.abandon('the server is shutting down and waited no longer')
        }
        resolve()
      })
      this.#onEmpty = () => {
        timer.cancel()
        resolve()
      }
      for (const connection of this.#connections) connection.shutDown()
      if (this.#connections.size === 0) this.#onEmpty()
    })
    return { abandonedRequestCount }
  }

  #onSocket(socket: Socket): void {
    const { limits, log } = this.#context
    const number = ++this.#clientCount
    const remote = socket.remoteAddress
    const client = remote === undefined ? `unix#${number}` : `tcp#${number} ${remote}:${socket.remotePort ?? 0}`
    if (this.#closing !== null || this.#connections.size >= limits.connectionCountMax) {
      const full = `the server has ${limits.connectionCountMax} connections already`
      log({ kind: 'refused', client, reason: this.#closing === null ? full : 'the server is shutting down' })
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    this.#connections.add(new Connection(socket, client, this.#context))
  }

  #onGone(connection: Connection): void {
    this.#connections.delete(connection)
    if (this.#connections.size === 0) this.#onEmpty?.()
  }
}
