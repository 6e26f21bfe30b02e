/**
 * Cuts the bytes of a connection into frames.
 *
 * Owns what is left of a chunk when a frame goes on in the next one: at most one frame's header and payload, allocated
 * only after the header was checked. A frame that lies within one chunk is handed out as views into it, without a copy;
 * only frames that span chunks are put together, and a large payload is put together by reading into it. Every header and
 * payload CRC is checked here, once. After the first damage nothing more is read: a stream that was wrong once has no
 * place at which to trust it again.
 */
import {
  decodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FRAME_OFFSET,
  FrameType,
  headerPayloadBytes,
  headerProblem,
  payloadMatches,
  type Frame,
} from '../entry/frame.js'
import { scanFrame } from '../entry/frame-scanner.js'
import type { PayloadMemory, PayloadPool } from '../entry/payload-memory.js'
import { DIRECT_BYTES_MIN, isInPlace, Landing } from '../transport/read-into.js'

/** What {@link FrameInput.next} found. */
export type InputStep =
  | { readonly kind: 'frame'; readonly frame: Frame }
  /** The chunk is used up. */
  | { readonly kind: 'more' }
  /** The bytes are not ours; a sentence that names what failed. */
  | { readonly kind: 'damaged'; readonly why: string }

const MORE: InputStep = { kind: 'more' }

const WORDS = {
  magic: 'no frame begins where one must',
  tls: 'the peer speaks TLS and this connection is plain: a tls:// and a tcp:// address have met',
  crc: 'the CRC of a frame header does not match',
  version: 'a frame has a version or header length that this release does not know',
  type: 'a frame has a type that this release does not know',
  field: 'a frame header has a field that cannot be',
  'too-large': 'a frame announces a payload beyond the limit',
  payload: 'the CRC of a frame payload does not match',
} as const

/** True for the beginning of a TLS record: a handshake, or the alert that ends one. */
function isTls(chunk: Buffer): boolean {
  return (chunk[0] === 0x15 || chunk[0] === 0x16) && chunk[1] === 0x03
}

/** One direction of one connection. */
export class FrameInput {
  #chunk: Buffer | null = null
  /** Its length, which is 0 once it lay in memory that was given back. */
  #chunkBytes = 0
  #at = 0
  /** Bytes of the chunks before the present one. */
  #passed = 0
  /** A frame that began in an earlier chunk: header, then payload; allocated in this order. */
  #header: Buffer | null = null
  #payload: Buffer | null = null
  /** Whose memory the payload lies in, where it is given back one day. */
  #memory: PayloadMemory | null = null
  /** What the next bytes may be read into: held, whatever becomes of its payload before they come. */
  #readInto: PayloadMemory | null = null
  readonly #payloads: PayloadPool | null
  #filled = 0
  readonly #landing = new Landing()
  /** The last frame had a payload that was worth a read of its own. */
  #large = false
  #damage: InputStep | null = null

  /** `payloads`: where large payloads of writes and copies find their memory, for a receiver that gives it back. */
  constructor(payloads: PayloadPool | null = null) {
    this.#payloads = payloads
  }

  /** Stream position behind the last frame, in bytes since the connection began; for error messages. */
  get position(): number {
    return this.#passed + this.#at
  }

  /** Where the next bytes may be read into, instead of where the last answer was. `direct`: all before them has been looked at. */
  room(direct: boolean): Buffer {
    this.#readInto?.release()
    this.#readInto = null
    const payload = this.#payload
    if (direct && payload !== null && payload.length - this.#filled >= DIRECT_BYTES_MIN) {
      this.#memory?.hold()
      this.#readInto = this.#memory
      return payload.subarray(this.#filled)
    }
    return this.#landing.room(this.#large)
  }

  /** Nothing is taken any more: memory that comes back is not kept. */
  end(): void {
    this.#payloads?.close()
  }

  /** A chunk has come, though it is not pushed yet. */
  came(chunk: Buffer): void {
    this.#landing.took(chunk)
  }

  /** Takes the next chunk. The one before must be used up. */
  push(chunk: Buffer): void {
    this.#passed += this.#chunkBytes
    this.#chunk = chunk
    this.#chunkBytes = chunk.length
    this.#at = 0
  }

  /** The next frame of the chunk. */
  next(): InputStep {
    if (this.#damage !== null) return this.#damage
    const chunk = this.#chunk
    if (chunk === null || this.#at >= chunk.length) return MORE
    return this.#header === null ? this.#scan(chunk) : this.#continue(chunk, this.#header)
  }

  #scan(chunk: Buffer): InputStep {
    const scan = scanFrame(chunk, this.#at)
    switch (scan.kind) {
      case 'entry':
        this.#at = scan.next
        this.#large = false
        return { kind: 'frame', frame: scan.frame }
      case 'need-more':
        return this.#begin(chunk)
      case 'torn':
        if (scan.why === 'magic' && this.position === 0 && isTls(chunk)) return this.#damaged(WORDS.tls)
        return this.#damaged(WORDS[scan.why === 'magic' ? 'magic' : 'crc'])
      case 'corrupt':
        return this.#damaged(WORDS[scan.why === 'payload-crc' ? 'payload' : scan.why])
      case 'too-large':
        return this.#damaged(WORDS['too-large'])
      case 'end': // zero fill, which ends a log but is nothing that a peer sends
        return this.#damaged(WORDS.magic)
    }
  }

  /** A frame goes on in the next chunk: keep what is here of it. */
  #begin(chunk: Buffer): InputStep {
    this.#header = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES)
    this.#filled = 0
    return this.#continue(chunk, this.#header)
  }

  #continue(chunk: Buffer, header: Buffer): InputStep {
    if (this.#payload === null) {
      this.#fill(chunk, header)
      if (this.#filled >= 4 && header.readUInt32LE(0) !== FRAME_MAGIC) return this.#damaged(WORDS.magic)
      if (this.#filled < FRAME_HEADER_BYTES) return MORE
      const problem = headerProblem(header)
      if (problem !== null) return this.#damaged(WORDS[problem])
      this.#payload = this.#place(header)
      this.#large = this.#payload.length >= DIRECT_BYTES_MIN
      this.#filled = 0
    }
    const payload = this.#payload
    this.#fill(chunk, payload)
    if (this.#filled < payload.length) return MORE
    const memory = this.#memory
    this.#header = null
    this.#payload = null
    this.#memory = null
    if (!payloadMatches(header, payload)) return this.#damaged(WORDS.payload)
    return { kind: 'frame', frame: decodeFrame(header, payload, memory) }
  }

  /** Memory for the payload that a header announces. What others than the data path take is theirs for good. */
  #place(header: Buffer): Buffer {
    const bytes = headerPayloadBytes(header)
    const type = header.readUInt8(FRAME_OFFSET.type)
    const isData = type === FrameType.write || type === FrameType.copy
    if (this.#payloads === null || !isData || bytes < DIRECT_BYTES_MIN) return Buffer.allocUnsafeSlow(bytes)
    this.#memory = this.#payloads.take(bytes)
    return this.#memory.bytes
  }

  #fill(chunk: Buffer, into: Buffer): void {
    const count = Math.min(into.length - this.#filled, chunk.length - this.#at)
    if (this.#at > 0 || !isInPlace(chunk, into, this.#filled))
      chunk.copy(into, this.#filled, this.#at, this.#at + count)
    this.#filled += count
    this.#at += count
  }

  #damaged(what: string): InputStep {
    this.#damage = { kind: 'damaged', why: `${what} (near byte ${this.position} of the connection)` }
    return this.#damage
  }
}
