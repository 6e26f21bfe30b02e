/**
 * Option haggling of the fixed newstyle handshake: bytes in, replies out.
 *
 * Owns what the client has said so far. Never touches a socket, a clock or an export beyond its description. It keeps at
 * most one option's data, of at most `optionBytesMax`; options, bytes received and bytes replied are counted, and beyond
 * their limits it closes. After an outcome other than `more` it takes nothing more.
 *
 *   client flags ─► option header ─► option data ─► (replies) ─► option header ...
 *                        └─ too long ─► skipped ─► TOO_BIG ─┘        └─► transmission | close
 */
import { assert } from './assert.js'
import {
  ALLOCATION_CONTEXT,
  ALLOCATION_CONTEXT_ID,
  HandshakeFlag,
  Info,
  MAGIC_OPTION_HIGH,
  MAGIC_OPTION_LOW,
  OPTION_HEADER_BYTES,
  Option,
  OptionReply,
} from './constants.js'
import type { ExportDirectory, NbdExport } from './export.js'
import type { NbdLimits } from './limits.js'
import * as layout from './option-data.js'
import { assertExport, type Session, transmissionFlags } from './session.js'

export type HandshakeOutcome =
  | { readonly kind: 'more' }
  /** The client is through; `rest` are its first bytes of the transmission phase. */
  | { readonly kind: 'transmission'; readonly session: Session; readonly rest: Buffer }
  /** The client took its leave, as the protocol has it. */
  | { readonly kind: 'aborted' }
  | { readonly kind: 'refused'; readonly reason: string }

export interface HandshakeStep {
  /** To be sent, in this order, also before closing. */
  readonly replies: readonly Buffer[]
  readonly outcome: HandshakeOutcome
}

const MORE: HandshakeOutcome = { kind: 'more' }
const CLIENT_FLAGS_BYTES = 4
const EMPTY = Buffer.alloc(0)

type Expecting = 'flags' | 'header' | 'data' | 'skip'

export class Handshake {
  readonly #directory: ExportDirectory
  readonly #limits: NbdLimits
  #outcome: HandshakeOutcome = MORE
  #replies: Buffer[] = []
  #expecting: Expecting = 'flags'
  /** What is expected is gathered here until it is full. */
  #gathering = Buffer.alloc(CLIENT_FLAGS_BYTES)
  #gatheredBytes = 0
  #skipBytes = 0
  #option = 0
  #optionCount = 0
  #receivedBytes = 0
  #repliedBytes = 0
  /** The client speaks fixed newstyle: it understands replies to options. */
  #fixed = false
  #noZeroes = false
  #structured = false
  /** The export for which base:allocation was selected by the latest SET_META_CONTEXT; null: for none. */
  #contextExport: NbdExport | null = null

  constructor(directory: ExportDirectory, limits: NbdLimits) {
    this.#directory = directory
    this.#limits = limits
  }

  /** What the server says first. */
  greeting(): Buffer {
    return layout.encodeGreeting()
  }

  /** Takes the next bytes of the client, of any length. */
  push(chunk: Buffer): HandshakeStep {
    assert(this.#outcome === MORE, 'a handshake that is over takes no bytes')
    let at = 0
    while (this.#outcome === MORE && at < chunk.length) {
      const used = this.#expecting === 'skip' ? this.#skip(chunk, at) : this.#gather(chunk, at)
      at += used
      this.#receivedBytes += used
      if (this.#outcome === MORE && this.#receivedBytes > this.#limits.handshakeBytesMax) {
        this.#refuse(`the client sent more than ${this.#limits.handshakeBytesMax} bytes of options`)
      }
      if (this.#outcome === MORE && this.#repliedBytes > this.#limits.handshakeReplyBytesMax) {
        this.#refuse(`the client asked for more than ${this.#limits.handshakeReplyBytesMax} bytes of option replies`)
      }
    }
    const replies = this.#replies
    this.#replies = []
    const outcome: HandshakeOutcome = this.#outcome
    if (outcome.kind === 'transmission') return { replies, outcome: { ...outcome, rest: chunk.subarray(at) } }
    return { replies, outcome }
  }

  #skip(chunk: Buffer, at: number): number {
    const used = Math.min(this.#skipBytes, chunk.length - at)
    this.#skipBytes -= used
    if (this.#skipBytes === 0) {
      this.#fail(OptionReply.ERR_TOO_BIG, `options carry at most ${this.#limits.optionBytesMax} bytes here`)
      this.#expect('header', OPTION_HEADER_BYTES)
    }
    return used
  }

  #gather(chunk: Buffer, at: number): number {
    const used = chunk.copy(this.#gathering, this.#gatheredBytes, at)
    this.#gatheredBytes += used
    if (this.#gatheredBytes === this.#gathering.length) this.#onGathered(this.#gathering)
    return used
  }

  #expect(what: Expecting, bytes: number): void {
    this.#expecting = what
    this.#gathering = Buffer.alloc(bytes)
    this.#gatheredBytes = 0
  }

  #onGathered(bytes: Buffer): void {
    if (this.#expecting === 'flags') this.#onClientFlags(bytes.readUInt32BE(0))
    else if (this.#expecting === 'header') this.#onHeader(bytes)
    else this.#onOption(bytes)
  }

  #onClientFlags(flags: number): void {
    const known = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES
    if ((flags & ~known) !== 0) {
      return this.#refuse(`the client set unknown handshake flags (0x${flags.toString(16)})`)
    }
    this.#fixed = (flags & HandshakeFlag.FIXED_NEWSTYLE) !== 0
    this.#noZeroes = (flags & HandshakeFlag.NO_ZEROES) !== 0
    this.#expect('header', OPTION_HEADER_BYTES)
  }

  #onHeader(bytes: Buffer): void {
    if (bytes.readUInt32BE(0) !== MAGIC_OPTION_HIGH || bytes.readUInt32BE(4) !== MAGIC_OPTION_LOW) {
      return this.#refuse('an option does not begin with the magic of options')
    }
    this.#option = bytes.readUInt32BE(8)
    const length = bytes.readUInt32BE(12)
    if (++this.#optionCount > this.#limits.optionCountMax) {
      return this.#refuse(`the client sent more than ${this.#limits.optionCountMax} options`)
    }
    if (!this.#fixed && this.#option !== Option.EXPORT_NAME) {
      return this.#refuse('the client sent an option of fixed newstyle without having agreed to it')
    }
    if (length <= this.#limits.optionBytesMax) {
      this.#expect('data', length)
      // Nothing more will arrive for an option without data.
      if (length === 0) this.#onOption(EMPTY)
    } else if (this.#option === Option.EXPORT_NAME || length > this.#limits.handshakeBytesMax) {
      this.#refuse(`option ${this.#option} announces ${length} bytes of data`)
    } else {
      this.#expecting = 'skip'
      this.#skipBytes = length
    }
  }

  #onOption(data: Buffer): void {
    this.#expect('header', OPTION_HEADER_BYTES)
    switch (this.#option) {
      case Option.EXPORT_NAME:
        return this.#onExportName(data)
      case Option.ABORT:
        this.#reply(layout.encodeOptionReply(this.#option, OptionReply.ACK))
        this.#outcome = { kind: 'aborted' }
        return
      case Option.LIST:
        return this.#onList(data)
      case Option.INFO:
      case Option.GO:
        return this.#onInfo(data)
      case Option.STRUCTURED_REPLY:
        return this.#onStructuredReply(data)
      case Option.LIST_META_CONTEXT:
      case Option.SET_META_CONTEXT:
        return this.#onMetaContext(data)
      default:
        return this.#fail(OptionReply.ERR_UNSUP, `option ${this.#option} is not supported`)
    }
  }

  #onExportName(data: Buffer): void {
    const name = layout.parseString(data, 0, data.length)
    if (name === null) return this.#refuse('the client asked for an export by a name that is not a valid string')
    const found = this.#find(name)
    if (typeof found === 'string') return this.#refuse(found)
    const flags = transmissionFlags(found, this.#structured)
    this.#reply(layout.encodeExportNameReply(found.sizeBytes, flags, !this.#noZeroes))
    this.#become(found)
  }

  #onList(data: Buffer): void {
    if (data.length > 0) return this.#fail(OptionReply.ERR_INVALID, 'the list option carries no data')
    for (const target of this.#directory.list()) this.#reply(layout.encodeServerReply(this.#option, target))
    this.#ack()
  }

  #onInfo(data: Buffer): void {
    const request = layout.parseInfoRequest(data)
    if (request === null) return this.#fail(OptionReply.ERR_INVALID, 'the data of the option is malformed')
    const found = this.#find(request.name)
    if (typeof found === 'string') return this.#fail(OptionReply.ERR_UNKNOWN, found)
    const option = this.#option
    this.#reply(layout.encodeExportInfo(option, found.sizeBytes, transmissionFlags(found, this.#structured)))
    if (request.wanted.includes(Info.NAME)) this.#reply(layout.encodeTextInfo(option, Info.NAME, found.name))
    if (request.wanted.includes(Info.DESCRIPTION) && found.description !== '') {
      this.#reply(layout.encodeTextInfo(option, Info.DESCRIPTION, found.description))
    }
    if (request.wanted.includes(Info.BLOCK_SIZE) || found.minimumBlockBytes > 1) {
      this.#reply(layout.encodeBlockSizeInfo(option, found, this.#limits.payloadBytesMax))
    }
    this.#ack()
    if (option === Option.GO) this.#become(found)
  }

  #onStructuredReply(data: Buffer): void {
    if (data.length > 0) return this.#fail(OptionReply.ERR_INVALID, 'the structured-reply option carries no data')
    if (this.#structured) return this.#fail(OptionReply.ERR_INVALID, 'structured replies are negotiated already')
    this.#structured = true
    this.#ack()
  }

  #onMetaContext(data: Buffer): void {
    const selecting = this.#option === Option.SET_META_CONTEXT
    // The latest selection replaces those before it, also when it fails.
    if (selecting) this.#contextExport = null
    if (!this.#structured) {
      return this.#fail(OptionReply.ERR_INVALID, 'metadata contexts need structured replies first')
    }
    const request = layout.parseMetaRequest(data, this.#limits.metaQueryCountMax)
    if (request === null) return this.#fail(OptionReply.ERR_INVALID, 'the data of the option is malformed')
    if (request === 'too-many') {
      return this.#fail(OptionReply.ERR_TOO_BIG, `at most ${this.#limits.metaQueryCountMax} queries in one option`)
    }
    const found = this.#find(request.name)
    if (typeof found === 'string') return this.#fail(OptionReply.ERR_UNKNOWN, found)
    const { queries } = request
    const named = queries.includes(ALLOCATION_CONTEXT)
    if (selecting && named) {
      this.#contextExport = found
      this.#reply(layout.encodeAllocationContext(this.#option, ALLOCATION_CONTEXT_ID))
    } else if (!selecting && (named || queries.length === 0 || queries.includes('base:'))) {
      this.#reply(layout.encodeAllocationContext(this.#option, 0))
    }
    this.#ack()
  }

  /** The export of that name, or a sentence that says why there is none. */
  #find(name: string): NbdExport | string {
    const found = this.#directory.find(name)
    const quoted = name === '' ? 'the default export' : `the export ${quote(name)}`
    if (found === null) return name === '' ? 'there is no default export' : `${quoted} does not exist`
    if ('unavailable' in found) return `${quoted} is not available: ${found.unavailable}`
    assertExport(found)
    return found
  }

  #become(target: NbdExport): void {
    const allocationContext = this.#contextExport !== null && this.#contextExport.name === target.name
    const session: Session = { export: target, structured: this.#structured, allocationContext }
    this.#outcome = { kind: 'transmission', session, rest: EMPTY }
  }

  #refuse(reason: string): void {
    this.#outcome = { kind: 'refused', reason }
  }

  #ack(): void {
    this.#reply(layout.encodeOptionReply(this.#option, OptionReply.ACK))
  }

  #fail(type: number, sentence: string): void {
    this.#reply(layout.encodeOptionReply(this.#option, type, Buffer.from(sentence)))
  }

  #reply(bytes: Buffer): void {
    this.#replies.push(bytes)
    this.#repliedBytes += bytes.length
  }
}

/** A name as it may stand in a sentence: escaped, and not longer than a line. */
function quote(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}...` : name)
}
