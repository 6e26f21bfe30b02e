/**
 * Reads one frame out of a run of bytes and tells exactly what is there.
 *
 * Owns the classification, which recovery and the wire both rely on. It checks in this order: nothing left, header
 * incomplete, header damaged, length too large, payload incomplete, payload damaged. It never allocates for a length
 * that it has not checked, and never copies: header and payload of the result are views into `bytes`.
 */
import {
  decodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  headerPayloadBytes,
  headerProblem,
  payloadMatches,
  type Frame,
} from './frame.js'

/** What stands at a place in a run of bytes. */
export type Scan =
  /** A whole frame, both CRCs good; `next` is the offset behind it. */
  | { readonly kind: 'entry'; readonly frame: Frame; readonly next: number }
  /** No bytes left, or zero fill where a frame would begin: nothing more was written here. */
  | { readonly kind: 'end' }
  /** Good so far, but at least `bytes` more are needed to say more. */
  | { readonly kind: 'need-more'; readonly bytes: number }
  /** Not the beginning of a frame, or a header whose CRC fails: a write that did not finish, or damage. */
  | { readonly kind: 'torn'; readonly why: 'magic' | 'header-crc' }
  /** A good header whose payload fails its CRC, or with contents that this version cannot mean. */
  | { readonly kind: 'corrupt'; readonly why: 'payload-crc' | 'version' | 'type' | 'field'; readonly header: Buffer }
  /** A good header that announces more than the limit. */
  | { readonly kind: 'too-large'; readonly bytes: number }

const END: Scan = { kind: 'end' }

/** Classifies what stands at `offset` of `bytes`. */
export function scanFrame(bytes: Buffer, offset = 0): Scan {
  const left = bytes.length - offset
  if (left <= 0) return END
  if (left < FRAME_HEADER_BYTES) {
    if (left >= 4 && bytes.readUInt32LE(offset) !== FRAME_MAGIC) {
      return bytes.readUInt32LE(offset) === 0 ? END : { kind: 'torn', why: 'magic' }
    }
    return { kind: 'need-more', bytes: FRAME_HEADER_BYTES - left }
  }
  const header = bytes.subarray(offset, offset + FRAME_HEADER_BYTES)
  const problem = headerProblem(header)
  if (problem !== null) {
    switch (problem) {
      case 'magic':
        return header.readUInt32LE(0) === 0 ? END : { kind: 'torn', why: 'magic' }
      case 'crc':
        return { kind: 'torn', why: 'header-crc' }
      case 'too-large':
        return { kind: 'too-large', bytes: headerPayloadBytes(header) }
      default:
        return { kind: 'corrupt', why: problem, header }
    }
  }
  const payloadBytes = headerPayloadBytes(header)
  const next = offset + FRAME_HEADER_BYTES + payloadBytes
  if (bytes.length < next) return { kind: 'need-more', bytes: next - bytes.length }
  const payload = payloadBytes === 0 ? null : bytes.subarray(offset + FRAME_HEADER_BYTES, next)
  if (!payloadMatches(header, payload)) return { kind: 'corrupt', why: 'payload-crc', header }
  return { kind: 'entry', frame: decodeFrame(header, payload), next }
}
