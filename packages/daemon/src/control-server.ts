/**
 * The control socket of a daemon: verbs over HTTP on a Unix socket in its state directory.
 *
 * Owns the socket file while the state directory's lock is held; removes a stale one only under that lock and only when
 * nobody listens on it. The socket has mode 0600 from its first moment. Everything a client can make it hold is limited:
 * body, headers, time, connections, requests. Knows no verb's meaning; verbs are registered before the start.
 */
import assert from 'node:assert/strict'
import { lstat, unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { answerStream } from './control-answer.js'
import { CONTROL_PREFIX, CONTROL_SOCKET, encodeMessage, JSON_TYPE, statusOf, VERB_NAME } from './control-protocol.js'
import { daemonErrors } from './daemon-errors.js'
import { asSitelinkError } from './error-format.js'
import type { SitelinkError } from './errors.js'
import * as limits from './limits.js'
import { socketPath, type SocketPath } from './socket-path.js'
import type { StateLock } from './state-lock.js'
import { isErrno, systemError, whyOf } from './system-errors.js'

/** What a handler may know of its request. */
export interface ControlContext {
  /** Aborts when the client has gone, or the server stops. A handler that answers once need not look at it. */
  readonly signal: AbortSignal
}

/** Answers once. The body is whatever JSON the client sent, null if nothing: the handler checks it. */
export type ControlHandler = (body: unknown, context: ControlContext) => unknown

/** Yields events, returns the result. Is asked for the next event only when the client has taken the last. */
export type ControlStream = (body: unknown, context: ControlContext) => AsyncGenerator<unknown, unknown, void>

export interface ControlServerOptions {
  readonly program: string
  readonly lock: StateLock
  /** Called with what a handler threw that is no operating error; the client gets `INTERNAL`. A daemon ends itself here. */
  readonly onBug: (error: unknown) => void
  readonly bodyBytesMax?: number
  readonly requestsMax?: number
  readonly headersMsMax?: number
}

type Entry =
  | { readonly kind: 'once'; readonly run: ControlHandler }
  | { readonly kind: 'stream'; readonly run: ControlStream }
type Page = { readonly type: string; readonly render: () => string | Promise<string> }

/** See the head of this file. States: registering, listening, stopped. */
export class ControlServer {
  readonly path: string
  readonly #options: ControlServerOptions
  readonly #verbs = new Map<string, Entry>()
  readonly #pages = new Map<string, Page>()
  readonly #server: Server
  readonly #stopping = new AbortController()
  readonly #running = new Set<Promise<void>>()
  /** Connections without a request; Node does not count one that never had any as idle, and would wait for it. */
  readonly #idle = new Set<Socket>()
  #address: SocketPath | null = null

  constructor(options: ControlServerOptions) {
    this.#options = options
    this.path = join(options.lock.directory, CONTROL_SOCKET)
    const headersTimeout = options.headersMsMax ?? limits.CONTROL_HEADERS_MS_MAX
    this.#server = createServer({
      headersTimeout,
      requestTimeout: limits.CONTROL_REQUEST_MS_MAX,
      connectionsCheckingInterval: Math.min(1000, headersTimeout),
    })
    this.#server.maxConnections = limits.CONTROL_CONNECTIONS_MAX
    this.#server.on('connection', (socket) => {
      this.#idle.add(socket)
      socket.once('close', () => this.#idle.delete(socket))
    })
    this.#server.on('request', (request, response) => this.#track(this.#serve(request, response)))
    this.#server.on('clientError', (error, socket) => {
      if (!socket.writable) return void socket.destroy()
      const refusal = daemonErrors.create('CONTROL_REQUEST_INVALID', { why: whyOf(error) })
      return void socket.end(
        `HTTP/1.1 400 Bad Request\r\nContent-Type: ${JSON_TYPE}\r\nConnection: close\r\n\r\n${encodeMessage({ kind: 'error', error: refusal })}`,
      )
    })
  }

  /** Registers a verb that answers once. */
  verb(name: string, run: ControlHandler): this {
    return this.#register(name, { kind: 'once', run })
  }

  /** Registers a verb that streams events. */
  stream(name: string, run: ControlStream): this {
    return this.#register(name, { kind: 'stream', run })
  }

  /** Registers a text for GET, as `/metrics`. */
  page(path: string, type: string, render: () => string | Promise<string>): this {
    assert(path.startsWith('/') && !path.startsWith(CONTROL_PREFIX), `${path} is a path outside ${CONTROL_PREFIX}`)
    this.#pages.set(path, { type, render })
    return this
  }

  /** Names of all verbs, sorted. */
  verbs(): readonly string[] {
    return [...this.#verbs.keys()].sort()
  }

  /** Listens. Throws `CONTROL_SOCKET_TAKEN` where something else stands in the socket's place. */
  async start(): Promise<void> {
    assert(this.#options.lock.held, 'the control socket belongs to the holder of the lock')
    assert(this.#address === null, 'a control server starts once')
    const address = await socketPath(this.path)
    try {
      await removeStale(this.path, address.path)
      await listenPrivately(this.#server, address.path)
      this.#address = address
    } catch (error) {
      await address.close()
      throw systemError(error) ?? error
    }
  }

  /**
   * Takes no more requests, ends streams with `CONTROL_STOPPING`, waits for the others until `signal` aborts, then cuts
   * them. The socket file is gone when it resolves. Repeating it, or calling it before the start, does nothing.
   */
  async stop(signal?: AbortSignal): Promise<void> {
    const address = this.#address
    if (address === null || this.#stopping.signal.aborted) return
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#stopping.abort(daemonErrors.create('CONTROL_STOPPING'))
    const cut = (): void => this.#server.closeAllConnections()
    signal?.addEventListener('abort', cut, { once: true })
    if (signal?.aborted === true) cut()
    for (const socket of this.#idle) socket.destroy()
    await closed
    signal?.removeEventListener('abort', cut)
    await address.close()
  }

  #register(name: string, entry: Entry): this {
    assert(VERB_NAME.test(name), `${name} is a name for a verb`)
    assert(!this.#verbs.has(name), `verb ${name} is registered once`)
    assert(this.#address === null, 'verbs are registered before the start')
    this.#verbs.set(name, entry)
    return this
  }

  #track(work: Promise<void>): void {
    this.#running.add(work)
    void work.finally(() => this.#running.delete(work))
  }

  /** Never rejects: what goes wrong is the client's answer. */
  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request
    this.#idle.delete(socket)
    const gone = new AbortController()
    const onStopping = (): void => gone.abort(this.#stopping.signal.reason)
    this.#stopping.signal.addEventListener('abort', onStopping, { once: true })
    response.once('close', () => {
      gone.abort()
      if (this.#stopping.signal.aborted) socket.destroySoon()
      else if (!socket.destroyed) this.#idle.add(socket)
    })
    response.on('error', () => gone.abort())
    try {
      if (this.#stopping.signal.aborted) throw daemonErrors.create('CONTROL_STOPPING')
      const requestsMax = this.#options.requestsMax ?? limits.CONTROL_REQUESTS_MAX
      if (this.#running.size >= requestsMax) throw daemonErrors.create('CONTROL_BUSY', { requestsMax })
      await this.#route(request, response, gone.signal)
    } catch (error) {
      this.#refuse(response, error)
    } finally {
      this.#stopping.signal.removeEventListener('abort', onStopping)
      if (!request.complete) response.once('finish', () => request.destroy())
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const path = (request.url ?? '').split('?', 1)[0] ?? ''
    const page = this.#pages.get(path)
    if (request.method === 'GET' && page !== undefined) {
      const text = await page.render()
      response.writeHead(200, { 'Content-Type': page.type }).end(text)
      return
    }
    if (request.method === 'GET' && path === CONTROL_PREFIX) {
      return finish(
        response,
        200,
        encodeMessage({ kind: 'result', result: { program: this.#options.program, verbs: this.verbs() } }),
      )
    }
    const verb = path.startsWith(`${CONTROL_PREFIX}/`) ? path.slice(CONTROL_PREFIX.length + 1) : path
    const entry = this.#verbs.get(verb)
    if (entry === undefined) throw daemonErrors.create('CONTROL_UNKNOWN_VERB', { verb })
    if (request.method !== 'POST')
      throw daemonErrors.create('CONTROL_REQUEST_INVALID', { why: `${request.method} where POST is expected` })
    const body = await readBody(request, verb, this.#options.bodyBytesMax ?? limits.CONTROL_BODY_BYTES_MAX)
    if (entry.kind === 'stream')
      return answerStream(entry.run(body, { signal }), response, signal, (thrown) => this.#asAnswer(thrown))
    const result = await entry.run(body, { signal })
    finish(response, 200, encodeMessage({ kind: 'result', result }))
  }

  #refuse(response: ServerResponse, thrown: unknown): void {
    const error = this.#asAnswer(thrown)
    if (response.headersSent) return void response.destroy()
    finish(response, statusOf(error), encodeMessage({ kind: 'error', error }))
  }

  #asAnswer(thrown: unknown): SitelinkError {
    const error = asSitelinkError(thrown)
    if (error.kind === 'internal') this.#options.onBug(thrown)
    return error
  }
}

function finish(response: ServerResponse, status: number, text: string): void {
  if (response.destroyed) return
  response.writeHead(status, { 'Content-Type': JSON_TYPE }).end(`${text}\n`)
}

async function readBody(request: IncomingMessage, verb: string, bytesMax: number): Promise<unknown> {
  const tooLarge = (): SitelinkError => daemonErrors.create('CONTROL_BODY_TOO_LARGE', { verb, bytesMax })
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge()
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > bytesMax) throw tooLarge()
      chunks.push(chunk)
    }
  } catch (error) {
    if (daemonErrors.is(error, 'CONTROL_BODY_TOO_LARGE')) throw error
    throw daemonErrors.create('CONTROL_REQUEST_INVALID', { why: 'the body was cut' }, { cause: error })
  }
  if (bytes === 0) return null
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown
  } catch (error) {
    throw daemonErrors.create('CONTROL_REQUEST_INVALID', { why: 'the body is not JSON' }, { cause: error })
  }
}

/** `path` names the file, `address` is the same in a form that fits a socket call. */
async function removeStale(path: string, address: string): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return null
    throw error
  })
  if (found === null) return
  if (!found.isSocket())
    throw daemonErrors.create('CONTROL_SOCKET_TAKEN', { path, why: 'a file of that name is no socket' })
  const answered = await new Promise<boolean>((resolve, reject) => {
    const socket = connect(address, () => resolve(true))
    socket.once('error', (error) => (isErrno(error, 'ECONNREFUSED', 'ENOENT') ? resolve(false) : reject(error)))
    socket.once('connect', () => socket.destroy())
  })
  if (answered)
    throw daemonErrors.create('CONTROL_SOCKET_TAKEN', {
      path,
      why: 'somebody listens there without holding the lock of the state directory',
    })
  await unlink(path).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT')) throw error
  })
}

/** Node binds within the call to `listen`, so the mask covers the socket's creation and nothing else of this thread. */
function listenPrivately(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const mask = process.umask(0o177)
    try {
      server.listen(path, () => {
        server.off('error', reject)
        resolve()
      })
    } finally {
      process.umask(mask)
    }
  })
}
