/**
 * The client's side of the handshake: greeting, options, and the way into the transmission phase.
 *
 * Owns the socket until `go` hands it over. One option is under way at a time, as the protocol wants it. For
 * tests and tools of our own: it believes a server what a server may claim, but allocates no more than a reply may hold.
 */
import { connect, type Socket } from 'node:net'
import { NbdClientError } from './client-error.js'
import * as nbd from './constants.js'
import type { ListenAddress } from './server.js'

/** Bytes: no reply to an option is longer. */
const REPLY_BYTES_MAX = 64 * 1024

/** What a server says of an export. */
export interface ExportInfo {
  readonly sizeBytes: number
  readonly transmissionFlags: number
  readonly name: string | null
  readonly description: string | null
  readonly minimumBlockBytes: number
  readonly preferredBlockBytes: number
  readonly payloadBytesMax: number
}

export interface ListedExport {
  readonly name: string
  readonly description: string
}

/** A connection that has entered the transmission phase. */
export interface EnteredExport {
  readonly socket: Socket
  readonly info: ExportInfo
  readonly structured: boolean
  /** base:allocation was selected for it. */
  readonly allocationContext: boolean
  /** Bytes that came after the negotiation. */
  readonly input: Buffer
}

interface OptionReply {
  readonly type: number
  readonly data: Buffer
}

interface Wanted {
  readonly bytes: number
  resolve(bytes: Buffer): void
  reject(error: Error): void
}

export class NbdNegotiation {
  readonly #socket: Socket
  #input: Buffer = Buffer.alloc(0)
  #wanted: Wanted | null = null
  #failure: NbdClientError | null = null
  #structured = false
  /** The export that base:allocation was selected for. */
  #context: string | null = null

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', this.#onData)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  /** Connects and exchanges flags. Throws `NbdClientError`. */
  static async open(address: ListenAddress): Promise<NbdNegotiation> {
    const socket = connect({ ...address, noDelay: true })
    const negotiation = new NbdNegotiation(socket)
    const greeting = await negotiation.#read(nbd.GREETING_BYTES)
    const fixed = greeting.readUInt16BE(16) & nbd.HandshakeFlag.FIXED_NEWSTYLE
    const init = greeting.readUInt32BE(0) === nbd.MAGIC_INIT_HIGH && greeting.readUInt32BE(4) === nbd.MAGIC_INIT_LOW
    if (!init || greeting.readUInt32BE(8) !== nbd.MAGIC_OPTION_HIGH || fixed === 0) {
      socket.destroy()
      throw new NbdClientError('protocol', 'the server does not speak fixed newstyle NBD')
    }
    const flags = Buffer.alloc(4)
    flags.writeUInt32BE(greeting.readUInt16BE(16) & (nbd.HandshakeFlag.FIXED_NEWSTYLE | nbd.HandshakeFlag.NO_ZEROES), 0)
    socket.write(flags)
    return negotiation
  }

  /** Names and descriptions of the exports. */
  async list(): Promise<readonly ListedExport[]> {
    const replies = await this.#option(nbd.Option.LIST, Buffer.alloc(0))
    return replies
      .filter((reply) => reply.type === nbd.OptionReply.SERVER)
      .map(({ data }) => {
        const end = 4 + data.readUInt32BE(0)
        return { name: data.toString('utf8', 4, end), description: data.toString('utf8', end) }
      })
  }

  /** What the server says of one export, without entering it. */
  async info(name: string): Promise<ExportInfo> {
    return parseInfo(await this.#option(nbd.Option.INFO, encodeInfoRequest(name)))
  }

  /** Asks for structured replies. False: the server has none. */
  async structuredReplies(): Promise<boolean> {
    try {
      await this.#option(nbd.Option.STRUCTURED_REPLY, Buffer.alloc(0))
      this.#structured = true
    } catch (error) {
      if (!isUnsupported(error)) throw error
    }
    return this.#structured
  }

  /** Selects base:allocation. False: the server has no such context for this export. */
  async allocationContext(name: string): Promise<boolean> {
    const data = encodeMetaRequest(name, [nbd.ALLOCATION_CONTEXT])
    try {
      const replies = await this.#option(nbd.Option.SET_META_CONTEXT, data)
      this.#context = replies.some((reply) => reply.type === nbd.OptionReply.META_CONTEXT) ? name : null
    } catch (error) {
      this.#context = null
      if (!isUnsupported(error)) throw error
    }
    return this.#context !== null
  }

  /** Enters the transmission phase; the negotiation is over then. The socket is paused, for `NbdClient` to go on. */
  async go(name: string): Promise<EnteredExport> {
    const info = parseInfo(await this.#option(nbd.Option.GO, encodeInfoRequest(name)))
    const socket = this.#socket
    socket.pause()
    socket.off('data', this.#onData)
    socket.off('close', this.#onClose)
    return { socket, info, structured: this.#structured, allocationContext: this.#context === name, input: this.#input }
  }

  /** Takes leave. Resolves when the connection is closed. */
  async abort(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      if (this.#socket.closed) resolve()
      else this.#socket.once('close', () => resolve())
    })
    if (this.#failure === null) await this.#option(nbd.Option.ABORT, Buffer.alloc(0)).catch(() => {})
    this.#socket.end()
    await closed
  }

  /** Sends one option and returns its replies up to the last. Throws `NbdClientError` with the server's sentence. */
  async #option(option: number, data: Buffer): Promise<readonly OptionReply[]> {
    const header = Buffer.alloc(nbd.OPTION_HEADER_BYTES)
    header.writeUInt32BE(nbd.MAGIC_OPTION_HIGH, 0)
    header.writeUInt32BE(nbd.MAGIC_OPTION_LOW, 4)
    header.writeUInt32BE(option, 8)
    header.writeUInt32BE(data.length, 12)
    this.#socket.write(Buffer.concat([header, data]))
    const replies: OptionReply[] = []
    for (;;) {
      const reply = await this.#reply(option)
      if (reply.type === nbd.OptionReply.ACK) return replies
      if (reply.type >= nbd.OPTION_REPLY_ERROR_BASE) {
        const said = reply.data.length > 0 ? reply.data.toString('utf8') : `reply type 0x${reply.type.toString(16)}`
        throw new NbdClientError('negotiation', said, { replyType: reply.type })
      }
      replies.push(reply)
    }
  }

  async #reply(option: number): Promise<OptionReply> {
    const header = await this.#read(nbd.OPTION_REPLY_HEADER_BYTES)
    const length = header.readUInt32BE(16)
    const high = header.readUInt32BE(0) === nbd.MAGIC_OPTION_REPLY_HIGH
    const ours = header.readUInt32BE(8) === option && length <= REPLY_BYTES_MAX
    if (!high || header.readUInt32BE(4) !== nbd.MAGIC_OPTION_REPLY_LOW || !ours) {
      this.#socket.destroy()
      throw new NbdClientError('protocol', `the reply to option ${option} is malformed`)
    }
    return { type: header.readUInt32BE(12), data: await this.#read(length) }
  }

  #read(bytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#wanted = { bytes, resolve, reject }
      this.#serve()
    })
  }

  #serve(): void {
    const wanted = this.#wanted
    if (wanted === null) return
    if (this.#input.length >= wanted.bytes) {
      const bytes = this.#input.subarray(0, wanted.bytes)
      this.#input = this.#input.subarray(wanted.bytes)
      this.#wanted = null
      wanted.resolve(bytes)
    } else if (this.#failure !== null) {
      this.#wanted = null
      wanted.reject(this.#failure)
    }
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#input = Buffer.concat([this.#input, chunk])
    this.#serve()
  }

  readonly #onError = (error: Error): void => {
    this.#failure ??= new NbdClientError('lost', `the connection failed: ${error.message}`, { cause: error })
    this.#serve()
  }

  readonly #onClose = (): void => {
    this.#failure ??= new NbdClientError('lost', 'the server closed the connection during the handshake')
    this.#serve()
  }
}

function isUnsupported(error: unknown): boolean {
  return error instanceof NbdClientError && error.replyType === nbd.OptionReply.ERR_UNSUP
}

function encodeInfoRequest(name: string): Buffer {
  const text = Buffer.from(name)
  const wanted = [nbd.Info.NAME, nbd.Info.DESCRIPTION, nbd.Info.BLOCK_SIZE]
  const data = Buffer.alloc(6 + text.length + 2 * wanted.length)
  data.writeUInt32BE(text.length, 0)
  text.copy(data, 4)
  data.writeUInt16BE(wanted.length, 4 + text.length)
  wanted.forEach((type, index) => data.writeUInt16BE(type, 6 + text.length + 2 * index))
  return data
}

function encodeMetaRequest(name: string, queries: readonly string[]): Buffer {
  const string = (text: string): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(Buffer.byteLength(text), 0)
    return Buffer.concat([length, Buffer.from(text)])
  }
  const count = Buffer.alloc(4)
  count.writeUInt32BE(queries.length, 0)
  return Buffer.concat([string(name), count, ...queries.map(string)])
}

function parseInfo(replies: readonly OptionReply[]): ExportInfo {
  const info = {
    sizeBytes: -1,
    transmissionFlags: 0,
    name: null as string | null,
    description: null as string | null,
    minimumBlockBytes: 1,
    preferredBlockBytes: 4096,
    payloadBytesMax: 32 * 1024 * 1024,
  }
  for (const { type, data } of replies) {
    if (type !== nbd.OptionReply.INFO) continue
    switch (data.readUInt16BE(0)) {
      case nbd.Info.EXPORT:
        info.sizeBytes = Number(data.readBigUInt64BE(2))
        info.transmissionFlags = data.readUInt16BE(10)
        break
      case nbd.Info.NAME:
        info.name = data.toString('utf8', 2)
        break
      case nbd.Info.DESCRIPTION:
        info.description = data.toString('utf8', 2)
        break
      case nbd.Info.BLOCK_SIZE:
        info.minimumBlockBytes = data.readUInt32BE(2)
        info.preferredBlockBytes = data.readUInt32BE(6)
        info.payloadBytesMax = data.readUInt32BE(10)
        break
    }
  }
  if (info.sizeBytes < 0) throw new NbdClientError('protocol', 'the server did not say how large the export is')
  return info
}
