/**
 * Back-pressure over a stream that has none: a window of credit, granted by whoever reads.
 *
 * Owns the messages on the stream below: data, credit, end. What comes is read at once, because credit may be among it,
 * and is kept until somebody asks for it: never more than the window of {@link CREDIT_BYTES} that this side has granted, in
 * pieces that are not small, however small the sender makes them. A peer that sends more is broken and loses the stream.
 *
 *   message   kind 1 | bytes 4, little endian | data: so many bytes; credit: so many more may be sent; end: 0
 */
import type { ByteStream } from './byte-stream.js'

/** Bytes that may wait here for a reader. */
export const CREDIT_BYTES = 2 * 1024 * 1024
/** Credit is given back in steps of so many bytes at least. */
const GRANT_BYTES = CREDIT_BYTES / 8
/** Data of one message. */
const MESSAGE_BYTES_MAX = 128 * 1024
const HEAD_BYTES = 5
/** Smaller pieces are copied into blocks of so many bytes: a piece by itself costs more than a hundred. */
const BLOCK_BYTES = 16 * 1024

const Kind = { data: 0, credit: 1, end: 2 } as const

/** See the file's head. */
export class CreditedStream implements ByteStream {
  readonly #below: ByteStream
  /** Came and was not asked for yet. */
  #input: Buffer[] = []
  #inputBytes = 0
  /** The rest of the block that the last piece was copied into. */
  #room: Buffer = Buffer.alloc(0)
  /** Read by the owner and not granted again yet. */
  #owed = 0
  /** What we may send. */
  #credit = CREDIT_BYTES
  #ended = false
  #failure: Error | null = null
  #wake: (() => void)[] = []
  /** Messages go out one after the other. */
  #out: Promise<void> = Promise.resolve()

  constructor(below: ByteStream) {
    this.#below = below
    void this.#take().catch((error: unknown) => this.#fail(error instanceof Error ? error : new Error(String(error))))
  }

  async read(): Promise<Buffer | null> {
    while (this.#input.length === 0) {
      if (this.#ended) return null
      if (this.#failure !== null) throw this.#failure
      await this.#change()
    }
    const chunk = this.#input.length === 1 ? (this.#input[0] as Buffer) : Buffer.concat(this.#input)
    this.#input = []
    this.#inputBytes = 0
    this.#room = Buffer.alloc(0)
    this.#owed += chunk.length
    if (this.#owed >= GRANT_BYTES && !this.#ended) {
      const head = headOf(Kind.credit, this.#owed)
      this.#owed = 0
      this.#send(head).catch(() => {}) // the stream is lost, and the next read says so
    }
    return chunk
  }

  async write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      while (this.#credit === 0) {
        if (this.#failure !== null) throw this.#failure
        await this.#change()
      }
      if (this.#failure !== null) throw this.#failure
      const part = bytes.subarray(at, at + Math.min(MESSAGE_BYTES_MAX, this.#credit))
      this.#credit -= part.length
      at += part.length
      await this.#send(Buffer.concat([headOf(Kind.data, part.length), part]))
    }
  }

  finish(): Promise<void> {
    return this.#send(headOf(Kind.end, 0))
  }

  destroy(): void {
    this.#below.destroy()
    this.#input = []
    this.#fail(new Error('the stream was ended here'))
  }

  #send(message: Buffer): Promise<void> {
    const sent = this.#out.then(() => this.#below.write(message))
    this.#out = sent.catch(() => {}) // whoever sent it hears of it
    return sent
  }

  async #take(): Promise<void> {
    let ahead: Buffer = Buffer.alloc(0)
    /** Bytes of the present message that have not come yet. */
    let left = 0
    for (;;) {
      const chunk = await this.#below.read()
      if (chunk === null) return this.#fail(new Error('the connection was closed'))
      ahead = ahead.length === 0 ? chunk : Buffer.concat([ahead, chunk])
      while (ahead.length > 0) {
        if (left > 0) {
          const part = ahead.subarray(0, left)
          this.#keep(part)
          left -= part.length
          ahead = ahead.subarray(part.length)
          continue
        }
        if (ahead.length < HEAD_BYTES) break
        left = this.#head(ahead[0] as number, ahead.readUInt32LE(1))
        ahead = ahead.subarray(HEAD_BYTES)
      }
      this.#changed()
    }
  }

  /** Takes the head of a message; answers the bytes of data behind it. */
  #head(kind: number, bytes: number): number {
    if (kind === Kind.end && !this.#ended) this.#ended = true
    else if (kind === Kind.credit) {
      this.#credit += bytes
      if (this.#credit > CREDIT_BYTES) throw new Error('the peer grants more than there is')
    } else if (kind === Kind.data && !this.#ended) {
      if (this.#inputBytes + this.#owed + bytes > CREDIT_BYTES) throw new Error('the peer sends more than it may')
      return bytes
    } else throw new Error('the peer breaks the protocol of the stream')
    return 0
  }

  #keep(part: Buffer): void {
    this.#inputBytes += part.length
    if (part.length >= BLOCK_BYTES) {
      this.#room = Buffer.alloc(0)
      this.#input.push(part)
      return
    }
    if (this.#room.length < part.length) {
      this.#room = Buffer.allocUnsafeSlow(BLOCK_BYTES)
      this.#input.push(this.#room.subarray(0, 0))
    }
    part.copy(this.#room)
    const block = this.#input.at(-1) as Buffer
    this.#input[this.#input.length - 1] = Buffer.from(block.buffer, 0, block.length + part.length)
    this.#room = this.#room.subarray(part.length)
  }

  #fail(error: Error): void {
    if (this.#failure === null) {
      this.#failure = error
      this.#below.destroy()
    }
    this.#changed()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}

function headOf(kind: number, bytes: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  head[0] = kind
  head.writeUInt32LE(bytes, 1)
  return head
}
