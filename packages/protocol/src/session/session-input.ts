/**
 * What a session has received and not delivered: chunks, the frame that is cut out of them, and the packed frame that is open.
 *
 * Owns the order in which frames come out: those of a packed frame before what lies behind it. A packed frame is opened
 * only as far as its header allows: what it may become is checked before it is unpacked, so that memory stays bounded
 * whatever the peer sends. Nothing that did not check comes out.
 */
import { FrameType, type Frame } from '../entry/frame.js'
import { scanFrame } from '../entry/frame-scanner.js'
import type { PayloadPool } from '../entry/payload-memory.js'
import { PACK_RAW_BYTES_MAX } from '../limits.js'
import { CODECS } from './codec.js'
import { FrameInput, type InputStep } from './frame-input.js'

export class SessionInput {
  readonly #input: FrameInput
  /** Chunks that wait behind the one in {@link #input}. */
  #held: Buffer[] = []
  #heldBytes = 0
  #unpacked: Buffer | null = null
  #at = 0

  /** `payloads`: see {@link FrameInput}. */
  constructor(payloads: PayloadPool | null = null) {
    this.#input = new FrameInput(payloads)
  }

  /** Bytes that wait and have not been looked at. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Where the next bytes may be read into: what waits here has its place already, so behind it none is known yet. */
  room(): Buffer {
    return this.#input.room(this.#held.length === 0)
  }

  push(chunk: Buffer): void {
    this.#input.came(chunk)
    this.#held.push(chunk)
    this.#heldBytes += chunk.length
  }

  /** The next frame, or what is wrong; `more`: all is used up. */
  next(): InputStep {
    for (;;) {
      const step = this.#unpacked === null ? this.#input.next() : this.#inner(this.#unpacked)
      if (step.kind !== 'more') return step
      if (this.#unpacked !== null) {
        this.#unpacked = null
        continue
      }
      const chunk = this.#held.shift()
      if (chunk === undefined) return step
      this.#heldBytes -= chunk.length
      this.#input.push(chunk)
    }
  }

  /**
   * Opens a packed frame, whose frames come next. `rawBytesMax`: what the peer may still send. Answers why it cannot be,
   * or null.
   */
  open({ aux, length, payload }: Frame, rawBytesMax: number): string | null {
    const codec = CODECS.find(({ id }) => id === aux)
    if (codec === undefined) return `a packed frame has the compression ${aux}, which this side does not read`
    if (payload === null || length < 1 || length > PACK_RAW_BYTES_MAX)
      return 'a packed frame has a length that cannot be'
    if (length > rawBytesMax) return 'a packed frame holds more than was granted'
    try {
      this.#unpacked = codec.unpack(payload, length)
    } catch (error) {
      return `a packed frame cannot be unpacked to the ${length} bytes that it announces: ${(error as Error).message}`
    }
    this.#at = 0
    return null
  }

  /** Forgets everything, at the end of the session. */
  clear(): void {
    this.#input.end()
    this.#held = []
    this.#heldBytes = 0
    this.#unpacked = null
  }

  #inner(bytes: Buffer): InputStep {
    if (this.#at === bytes.length) return { kind: 'more' }
    const scan = scanFrame(bytes, this.#at)
    if (scan.kind !== 'entry')
      return { kind: 'damaged', why: `what a packed frame holds is no run of frames (${scan.kind})` }
    const { type } = scan.frame
    if (type === FrameType.control || type === FrameType.packed)
      return { kind: 'damaged', why: 'a packed frame holds something else than frames of the stream' }
    this.#at = scan.next
    return { kind: 'frame', frame: scan.frame }
  }
}
