/**
 * A client in the transmission phase, for tests, the demonstration and checkers.
 *
 * Any number of requests may be under way; each is a promise that settles when its reply has come, and every promise
 * settles when the connection ends. Replies are matched by cookie and checked against what was asked; a server that
 * breaks the protocol costs the connection. Payloads given to `write` must not change before its promise settles.
 */
import type { Socket } from 'node:net'
import { ByteReader } from './byte-reader.js'
import { NbdClientError } from './client-error.js'
import { type EnteredExport, type ExportInfo, type ListedExport, NbdNegotiation } from './client-negotiation.js'
import { Answer, type ReplyChunk } from './client-reply.js'
import * as nbd from './constants.js'
import type { Extent } from './export.js'
import type { ListenAddress } from './server.js'

export interface ConnectOptions {
  /** Default: '', the server's default export. */
  readonly export?: string
  /** Ask for structured replies, and for base:allocation. Default: true. */
  readonly structured?: boolean
}

export interface WriteOptions {
  /** Answer only when it is on stable storage. */
  readonly fua?: boolean
}

export interface ZeroOptions extends WriteOptions {
  readonly noHole?: boolean
  readonly fastZero?: boolean
}

type ReplyStep = 'magic' | 'simple' | 'simple-data' | 'chunk' | 'chunk-data'

export class NbdClient {
  readonly info: ExportInfo
  readonly structured: boolean
  readonly hasAllocationContext: boolean
  readonly #socket: Socket
  readonly #reader = new ByteReader()
  readonly #answers = new Map<number, Answer>()
  #lastCookie = 0
  #step: ReplyStep = 'magic'
  /** The reply being received. */
  #answer: Answer | null = null
  #chunk: ReplyChunk = { flags: 0, type: 0, length: 0 }
  #failure: NbdClientError | null = null
  readonly #closed: Promise<void>

  /** Goes on where a negotiation has entered an export; `connect` does both. */
  constructor({ socket, info, structured, allocationContext, input }: EnteredExport) {
    this.info = info
    this.structured = structured
    this.hasAllocationContext = allocationContext
    this.#socket = socket
    this.#closed = new Promise((resolve) => {
      const lost = (cause?: Error): void => {
        const why = cause === undefined ? 'the server closed the connection' : `the connection failed: ${cause.message}`
        this.#fail(new NbdClientError('lost', why, cause === undefined ? {} : { cause }))
      }
      socket.on('error', lost)
      socket.on('close', () => {
        lost()
        resolve()
      })
      if (socket.closed) resolve()
    })
    socket.on('data', (chunk) => this.#onData(chunk))
    if (input.length > 0) this.#onData(input)
    socket.resume()
  }

  /** Connects, negotiates and enters an export. Throws `NbdClientError`. */
  static async connect(address: ListenAddress, options: ConnectOptions = {}): Promise<NbdClient> {
    const name = options.export ?? ''
    const negotiation = await NbdNegotiation.open(address)
    try {
      if (options.structured !== false && (await negotiation.structuredReplies())) {
        await negotiation.allocationContext(name)
      }
      return new NbdClient(await negotiation.go(name))
    } catch (error) {
      await negotiation.abort()
      throw error
    }
  }

  /** The exports of a server. */
  static async list(address: ListenAddress): Promise<readonly ListedExport[]> {
    const negotiation = await NbdNegotiation.open(address)
    try {
      return await negotiation.list()
    } finally {
      await negotiation.abort()
    }
  }

  /** Requests without a reply yet. */
  get requestsInFlight(): number {
    return this.#answers.size
  }

  /** Resolves when the connection is closed, for whatever reason. */
  get closed(): Promise<void> {
    return this.#closed
  }

  read(offset: number, length: number, options: { readonly dontFragment?: boolean } = {}): Promise<Buffer> {
    const flags = options.dontFragment === true ? nbd.CommandFlag.DF : 0
    return this.#request(nbd.Command.READ, flags, offset, length).then((answer) => answer.data())
  }

  async write(offset: number, payload: Buffer, options: WriteOptions = {}): Promise<void> {
    await this.#request(nbd.Command.WRITE, fuaFlag(options), offset, payload.length, payload)
  }

  /** Everything whose write was answered before is on stable storage when this resolves. */
  async flush(): Promise<void> {
    await this.#request(nbd.Command.FLUSH, 0, 0, 0)
  }

  async trim(offset: number, length: number, options: WriteOptions = {}): Promise<void> {
    await this.#request(nbd.Command.TRIM, fuaFlag(options), offset, length)
  }

  async writeZeroes(offset: number, length: number, options: ZeroOptions = {}): Promise<void> {
    let flags = fuaFlag(options)
    if (options.noHole === true) flags |= nbd.CommandFlag.NO_HOLE
    if (options.fastZero === true) flags |= nbd.CommandFlag.FAST_ZERO
    await this.#request(nbd.Command.WRITE_ZEROES, flags, offset, length)
  }

  async cache(offset: number, length: number): Promise<void> {
    await this.#request(nbd.Command.CACHE, 0, offset, length)
  }

  /** Extents from `offset` on; together they may be shorter than `length`. */
  async blockStatus(
    offset: number,
    length: number,
    options: { readonly one?: boolean } = {},
  ): Promise<readonly Extent[]> {
    const flags = options.one === true ? nbd.CommandFlag.REQ_ONE : 0
    const answer = await this.#request(nbd.Command.BLOCK_STATUS, flags, offset, length)
    return answer.extents()
  }

  /** Any request at all, also one that the protocol forbids: for tests of a server. Resolves or rejects as the others. */
  async raw(type: number, flags: number, offset: number, length: number, payload?: Buffer): Promise<void> {
    await this.#request(type, flags, offset, length, payload)
  }

  /** Says goodbye. Resolves when the connection is closed; requests still under way are answered before. */
  async disconnect(): Promise<void> {
    if (this.#failure === null) this.#send(nbd.Command.DISC, 0, 0, 0, 0)
    await this.#closed
  }

  /** Drops the connection, as a crash would. */
  async destroy(): Promise<void> {
    this.#socket.destroy()
    await this.#closed
  }

  #request(type: number, flags: number, offset: number, length: number, payload?: Buffer): Promise<Answer> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    const cookie = ++this.#lastCookie
    return new Promise((resolve, reject) => {
      this.#answers.set(cookie, new Answer(cookie, type, offset, length, resolve, reject))
      this.#send(type, flags, cookie, offset, length, payload)
    })
  }

  #send(type: number, flags: number, cookie: number, offset: number, length: number, payload?: Buffer): void {
    const header = Buffer.allocUnsafe(nbd.REQUEST_HEADER_BYTES)
    header.writeUInt32BE(nbd.MAGIC_REQUEST, 0)
    header.writeUInt16BE(flags, 4)
    header.writeUInt16BE(type, 6)
    header.writeBigUInt64BE(BigInt(cookie), 8)
    header.writeBigUInt64BE(BigInt(offset), 16)
    header.writeUInt32BE(length, 24)
    if (payload === undefined || payload.length === 0) {
      this.#socket.write(header)
      return
    }
    this.#socket.cork()
    this.#socket.write(header)
    this.#socket.write(payload)
    this.#socket.uncork()
  }

  #onData(chunk: Buffer): void {
    this.#reader.feed(chunk)
    try {
      while (this.#advance());
    } catch (error) {
      if (!(error instanceof NbdClientError)) throw error
      this.#fail(error)
      this.#socket.destroy()
    }
    if (this.#failure !== null) this.#reader.discard()
  }

  #advance(): boolean {
    const reader = this.#reader
    switch (this.#step) {
      case 'magic':
        if (!reader.header(4)) return false
        return this.#onMagic(reader.view.readUInt32BE(reader.at))
      case 'simple':
        if (!reader.header(nbd.SIMPLE_REPLY_BYTES - 4)) return false
        return this.#onSimple(reader.view.readUInt32BE(reader.at), reader.view.readBigUInt64BE(reader.at + 4))
      case 'simple-data': {
        const answer = this.#current()
        const data = reader.take(answer.length)
        if (data === null) return false
        answer.addData(answer.offset, data)
        return this.#done(answer)
      }
      case 'chunk':
        if (!reader.header(nbd.CHUNK_HEADER_BYTES - 4)) return false
        return this.#onChunkHeader(reader.view, reader.at)
      case 'chunk-data': {
        const payload = reader.take(this.#chunk.length)
        if (payload === null) return false
        const answer = this.#current()
        answer.addChunk(this.#chunk, payload)
        this.#step = 'magic'
        return (this.#chunk.flags & nbd.ChunkFlag.DONE) === 0 || this.#done(answer)
      }
    }
  }

  #onMagic(magic: number): boolean {
    if (magic === nbd.MAGIC_SIMPLE_REPLY) this.#step = 'simple'
    else if (magic === nbd.MAGIC_STRUCTURED_REPLY && this.structured) this.#step = 'chunk'
    else throw new NbdClientError('protocol', `a reply begins with 0x${magic.toString(16)}`)
    return true
  }

  #onSimple(errno: number, cookie: bigint): boolean {
    const answer = this.#find(cookie)
    if (errno !== 0) answer.addError(errno, '')
    else if (answer.type === nbd.Command.READ) {
      if (this.structured) throw new NbdClientError('protocol', 'a read was answered with a simple reply')
      this.#step = 'simple-data'
      return true
    }
    return this.#done(answer)
  }

  #onChunkHeader(view: Buffer, at: number): boolean {
    this.#chunk = { flags: view.readUInt16BE(at), type: view.readUInt16BE(at + 2), length: view.readUInt32BE(at + 12) }
    const answer = this.#find(view.readBigUInt64BE(at + 4))
    if (this.#chunk.length > answer.length + 8 * 1024 * 1024 + 64) {
      throw new NbdClientError('protocol', `a chunk announces ${this.#chunk.length} bytes`)
    }
    this.#step = 'chunk-data'
    return true
  }

  #find(cookie: bigint): Answer {
    const answer = this.#answers.get(Number(cookie))
    if (answer === undefined) throw new NbdClientError('protocol', `a reply to ${cookie}, which was not asked`)
    this.#answer = answer
    return answer
  }

  #current(): Answer {
    if (this.#answer === null) throw new NbdClientError('protocol', 'data without a reply')
    return this.#answer
  }

  /** The reply is complete. */
  #done(answer: Answer): boolean {
    this.#step = 'magic'
    this.#answer = null
    this.#answers.delete(answer.cookie)
    try {
      answer.settle()
    } catch (error) {
      // It is no longer among those that `#fail` rejects.
      answer.reject(error as Error)
      throw error
    }
    return true
  }

  #fail(error: NbdClientError): void {
    if (this.#failure !== null) return
    this.#failure = error
    for (const answer of this.#answers.values()) answer.reject(error)
    this.#answers.clear()
  }
}

function fuaFlag(options: WriteOptions): number {
  return options.fua === true ? nbd.CommandFlag.FUA : 0
}
