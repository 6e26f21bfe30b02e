/**
 * The client of a daemon's control socket.
 *
 * One connection per request, nothing kept between them. An error of the daemon is thrown here as the same error: code,
 * exit status, hint and facts. Tells `CONTROL_UNREACHABLE` (nothing was sent) from `CONTROL_CUT` (it may have happened).
 */
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { dirname, join } from 'node:path'
import { CONTROL_PREFIX, CONTROL_SOCKET, decodeMessage, JSON_TYPE, type ControlMessage } from './control-protocol.js'
import { daemonErrors } from './daemon-errors.js'
import type { SitelinkError } from './errors.js'
import { CONTROL_REPLY_BYTES_MAX } from './limits.js'
import { socketPath } from './socket-path.js'
import { isErrno, systemError, whyOf } from './system-errors.js'

export interface CallOptions {
  /** Throws `CONTROL_TIMEOUT` where the socket stays silent for so long. Without it a call waits as long as it takes. */
  readonly timeoutMs?: number
  /** Ends the request; the call throws the signal's reason. */
  readonly signal?: AbortSignal
}

/** What a daemon says of itself. */
export interface DaemonHello {
  readonly program: string
  readonly verbs: readonly string[]
}

/** See the head of this file. */
export class ControlClient {
  /** Path of the socket. */
  readonly path: string
  #requestsSent = 0

  /** A client of the daemon that holds the state directory `stateDirectory`. Connects to nothing yet. */
  constructor(stateDirectory: string) {
    this.path = join(stateDirectory, CONTROL_SOCKET)
  }

  /** Requests that reached a listening daemon; while it is 0, nothing can have happened. */
  get requestsSent(): number {
    return this.#requestsSent
  }

  /** Asks the daemon who it is. */
  async hello(options: CallOptions = {}): Promise<DaemonHello> {
    return (await this.#once('GET', CONTROL_PREFIX, 'hello', undefined, options)) as DaemonHello
  }

  /** Calls a verb that answers once. Resolves with its result, which is only as well formed as the daemon is. */
  async call<T = unknown>(verb: string, body: unknown = null, options: CallOptions = {}): Promise<T> {
    return (await this.#once('POST', `${CONTROL_PREFIX}/${verb}`, verb, body, options)) as T
  }

  /** Reads a page, as `/metrics`. */
  async page(path: string, options: CallOptions = {}): Promise<string> {
    const exchange = await this.#send('GET', path, path, undefined, options)
    const text = await exchange.text()
    if (exchange.response.statusCode === 200) return text
    throw errorIn(text) ?? exchange.invalid('it is neither a page nor an error')
  }

  /**
   * Calls a verb that streams: yields its events, returns its result. Leaving the loop early, or the signal, closes the
   * connection, which ends the stream at the daemon too.
   */
  async *stream<E = unknown, R = unknown>(
    verb: string,
    body: unknown = null,
    options: CallOptions = {},
  ): AsyncGenerator<E, R, void> {
    const exchange = await this.#send('POST', `${CONTROL_PREFIX}/${verb}`, verb, body, options)
    try {
      for await (const line of exchange.lines()) {
        const message = decodeMessage(line)
        if (message === null) throw exchange.invalid('a line is no message')
        if (message.kind === 'result') return message.result as R
        if (message.kind === 'error') throw message.error
        yield message.event as E
      }
      throw exchange.cut('the stream ended in the middle')
    } finally {
      exchange.destroy()
    }
  }

  async #once(method: string, path: string, verb: string, body: unknown, options: CallOptions): Promise<unknown> {
    const exchange = await this.#send(method, path, verb, body, options)
    const message: ControlMessage | null = decodeMessage(await exchange.text())
    if (message === null || message.kind === 'event') throw exchange.invalid('it is neither a result nor an error')
    if (message.kind === 'error') throw message.error
    return message.result
  }

  /** Sends the request and waits for the head of the answer. */
  async #send(
    method: string,
    path: string,
    verb: string,
    body: unknown,
    { timeoutMs, signal }: CallOptions,
  ): Promise<Exchange> {
    signal?.throwIfAborted()
    const address = await socketPath(this.path).catch((error: unknown) => {
      throw daemonErrors.is(error, 'SYSTEM_MISSING') ? this.#unreachable(error) : error
    })
    const text =
      body === undefined
        ? null
        : JSON.stringify(body, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
    const headers = text === null ? {} : { 'Content-Type': JSON_TYPE, 'Content-Length': Buffer.byteLength(text) }
    try {
      return await new Promise<Exchange>((resolve, reject) => {
        const request = httpRequest({ socketPath: address.path, method, path, headers, agent: false })
        const exchange = new Exchange(request, verb, timeoutMs, signal)
        request.once('socket', (socket) => socket.once('connect', () => (this.#requestsSent += 1)))
        request.once('response', (response) => {
          exchange.response = response
          resolve(exchange)
        })
        request.on('error', (error) =>
          reject(isErrno(error) && error.syscall === 'connect' ? this.#unreachable(error) : exchange.failure(error)),
        )
        request.end(text ?? '')
      })
    } finally {
      await address.close()
    }
  }

  #unreachable(error: unknown): SitelinkError {
    const refused = isErrno(error, 'EACCES', 'EPERM') ? systemError(error) : null
    return (
      refused ??
      daemonErrors.create(
        'CONTROL_UNREACHABLE',
        { path: this.path, state: dirname(this.path), why: whyOf(error) },
        { cause: error },
      )
    )
  }
}

/** One request and its answer. */
class Exchange {
  response!: IncomingMessage
  readonly #request: ClientRequest
  readonly #verb: string
  readonly #signal: AbortSignal | undefined
  #timedOut: SitelinkError | null = null

  constructor(request: ClientRequest, verb: string, timeoutMs: number | undefined, signal: AbortSignal | undefined) {
    this.#request = request
    this.#verb = verb
    this.#signal = signal
    const onAbort = (): void => void request.destroy(new Error('aborted'))
    signal?.addEventListener('abort', onAbort, { once: true })
    request.once('close', () => signal?.removeEventListener('abort', onAbort))
    if (timeoutMs === undefined) return
    request.setTimeout(timeoutMs, () => {
      this.#timedOut = daemonErrors.create('CONTROL_TIMEOUT', { verb, timeoutMs })
      request.destroy(this.#timedOut)
    })
  }

  destroy(): void {
    this.#request.destroy()
  }

  cut(why: string, cause?: unknown): SitelinkError {
    return daemonErrors.create('CONTROL_CUT', { verb: this.#verb, why }, { cause })
  }

  invalid(why: string): SitelinkError {
    return daemonErrors.create('CONTROL_REPLY_INVALID', { verb: this.#verb, why })
  }

  /** What a failed socket means for the caller. */
  failure(error: unknown): unknown {
    if (this.#signal?.aborted === true) return this.#signal.reason
    return this.#timedOut ?? this.cut(whyOf(error), error)
  }

  async text(): Promise<string> {
    const parts: string[] = []
    for await (const part of this.#parts(CONTROL_REPLY_BYTES_MAX)) parts.push(part)
    return parts.join('')
  }

  /** Lines of the answer; each is limited, their number is not. */
  async *lines(): AsyncGenerator<string, void, void> {
    let rest = ''
    for await (const part of this.#parts(Infinity)) {
      const lines = (rest + part).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > CONTROL_REPLY_BYTES_MAX) throw this.invalid('a line is too long')
      yield* lines.filter((line) => line.length > 0)
    }
    if (rest.length > 0) yield rest
  }

  async *#parts(bytesMax: number): AsyncGenerator<string, void, void> {
    let bytes = 0
    this.response.setEncoding('utf8')
    try {
      for await (const part of this.response as AsyncIterable<string>) {
        bytes += Buffer.byteLength(part)
        if (bytes > bytesMax) throw this.invalid('it is too long')
        yield part
      }
    } catch (error) {
      throw daemonErrors.is(error, 'CONTROL_REPLY_INVALID') ? error : this.failure(error)
    }
  }
}

function errorIn(text: string): SitelinkError | null {
  const message = decodeMessage(text)
  return message?.kind === 'error' ? message.error : null
}
