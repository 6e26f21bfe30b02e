/**
 * The sending half of compression: frames of the stream become packed frames, where that makes them smaller.
 *
 * Owns the account of what it saved and the one buffer in which a run is laid out. A packed frame holds whole frames as
 * they are, headers and checksums and all: what is compressed is checked end to end as if it had not been. What does not
 * become smaller goes as it is. It never sends, and never changes the order.
 */
import type { Clock } from '../entry/clock.js'
import { encodeFrame, FRAME_HEADER_BYTES, frameBytes, FrameType, type Frame } from '../entry/frame.js'
import { PACK_RAW_BYTES_MAX, PACK_RUN_BYTES, PACK_RUN_BYTES_MIN } from '../limits.js'
import { CODECS, type Codec } from './codec.js'
import { CompressionPolicy, type CompressionMode, type CompressionWhy } from './compression-policy.js'

export interface CompressionReport {
  readonly mode: CompressionMode
  readonly active: boolean
  readonly why: CompressionWhy
  /** What is used, or null while none is agreed. */
  readonly codec: string | null
  /** Stream bytes of the session, and what they were on the wire. */
  readonly rawBytes: number
  readonly wireBytes: number
}

export class Packer {
  readonly #clock: Clock
  readonly #mode: () => CompressionMode
  readonly #policy = new CompressionPolicy()
  #codec: Codec | null = null
  #run: Buffer | null = null
  #rawBytes = 0
  #wireBytes = 0

  constructor(clock: Clock, mode: () => CompressionMode) {
    this.#clock = clock
    this.#mode = mode
  }

  /** What the peer can read. */
  peerReads(ids: readonly number[], codecs: readonly Codec[] = CODECS): void {
    this.#codec = codecs.find(({ id }) => ids.includes(id)) ?? null
  }

  /** There was nothing to send. */
  idle(): void {
    this.#policy.idle()
  }

  report(): CompressionReport {
    const mode = this.#mode()
    const agreed = this.#codec !== null
    const active = agreed && mode !== 'off' && (mode === 'on' || this.#policy.active)
    const why = mode === 'off' ? 'operator' : agreed ? this.#policy.why : 'peer'
    const codec = this.#codec?.name ?? null
    return { mode, active, why, codec, rawBytes: this.#rawBytes, wireBytes: this.#wireBytes }
  }

  /** The buffers to send for `frames`, of `rawBytes`. */
  chunks(frames: readonly Frame[], rawBytes: number): Buffer[] {
    const chunks: Buffer[] = []
    const codec = this.#codec
    const startMs = this.#clock.nowMs()
    let wireBytes = rawBytes
    let spentMs = 0
    if (codec === null || !this.#policy.wants(this.#mode(), startMs)) {
      for (const frame of frames) lay(chunks, frame)
    } else {
      wireBytes = this.#pack(frames, codec, chunks)
      spentMs = this.#clock.nowMs() - startMs
    }
    this.#rawBytes += rawBytes
    this.#wireBytes += wireBytes
    this.#policy.note(rawBytes, wireBytes, spentMs, startMs + spentMs)
    return chunks
  }

  /** Answers the bytes on the wire. */
  #pack(frames: readonly Frame[], codec: Codec, chunks: Buffer[]): number {
    let wireBytes = 0
    let first = 0
    let bytes = 0
    for (let at = 0; at <= frames.length; at += 1) {
      const frame = frames[at]
      const more = frame === undefined ? 0 : frameBytes(frame)
      if (bytes > 0 && (frame === undefined || bytes + more > PACK_RUN_BYTES)) {
        wireBytes += this.#packRun(frames, first, at, bytes, codec, chunks)
        first = at
        bytes = 0
      }
      bytes += more
    }
    return wireBytes
  }

  #packRun(
    frames: readonly Frame[],
    first: number,
    end: number,
    bytes: number,
    codec: Codec,
    chunks: Buffer[],
  ): number {
    if (bytes >= PACK_RUN_BYTES_MIN) {
      const run = (this.#run ??= Buffer.allocUnsafeSlow(PACK_RAW_BYTES_MAX))
      let at = 0
      for (let index = first; index < end; index += 1) {
        const { header, payload } = frames[index] as Frame
        at += header.copy(run, at)
        if (payload !== null) at += payload.copy(run, at)
      }
      const payload = codec.pack(run.subarray(0, at))
      if (payload.length + FRAME_HEADER_BYTES < bytes - bytes / 32) {
        const packed = encodeFrame({ type: FrameType.packed, length: bytes, aux: codec.id }, payload)
        chunks.push(packed.header, payload)
        return frameBytes(packed)
      }
    }
    for (let index = first; index < end; index += 1) lay(chunks, frames[index] as Frame)
    return bytes
  }
}

function lay(chunks: Buffer[], { header, payload }: Frame): void {
  chunks.push(header)
  if (payload !== null) chunks.push(payload)
}
