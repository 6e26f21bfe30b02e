/**
 * What of a WebTransport session over HTTP/2 may reach the library that reads it.
 *
 * Owns the strict reading of capsules that a stranger sends: data of the one stream, credit for the library, and the end of
 * the session; whatever else there is gets a reason, and the session has to end. The library, which throws on what it does
 * not expect, is handed whole capsules only, and all data of a chunk as one, so that no sender decides what it has to join.
 * Invariant: no more is held than the beginning of one capsule, {@link HELD_BYTES_MAX}. Pure.
 *
 *   capsule   type varint | bytes of the value varint | value
 *   value     data: stream varint, data | credit: varint | credit of the stream: stream varint, varint | close: code 4, words
 */

/** The one stream: the first that the side that dials opens. */
const STREAM_ID = 1
const Type = { data: 0x190b4d3b, streamCredit: 0x190b4d3e, close: 0x2843 } as const
/** Credit of the session, and for more streams of both kinds. */
const CREDITS: ReadonlySet<number> = new Set([0x190b4d3d, 0x190b4d3f, 0x190b4d40])
const NAMES: ReadonlyMap<number, string> = new Map([
  [0x00, 'a datagram'],
  [0x190b4d38, 'padding'],
  [0x190b4d39, 'the reset of a stream'],
  [0x190b4d3a, 'a stop of a stream'],
  [0x190b4d3c, 'the end of a stream'],
  [0x78ae, 'a drain of the session'],
])

const VARINT_BYTES_MAX = 8
const CLOSE_CODE_BYTES = 4
/** Words of a close are no longer, as the drafts have it. */
const CLOSE_BYTES_MAX = CLOSE_CODE_BYTES + 1024
/** Data of one capsule: more than any window of ours. */
const DATA_BYTES_MAX = 16 * 1024 * 1024
/** Type, length, and the longest value that has to be whole. */
export const HELD_BYTES_MAX = 2 * VARINT_BYTES_MAX + CLOSE_BYTES_MAX

/** The peer sent what it may not; the message goes on behind "it". */
export class CapsuleError extends Error {}

/** See the file's head. */
export class CapsuleFilter {
  /** The peer may send on the stream. */
  #open: boolean
  /** The library has been told of the stream. */
  #told: boolean
  /** Beginning of a capsule that is not whole yet. */
  #held: Buffer = Buffer.alloc(0)
  /** Data of the present capsule that have not come yet. */
  #left = 0
  #closed = false

  /** Only the side that dials opens a stream, by {@link open}. */
  constructor(side: 'dialling' | 'listening') {
    this.#open = side === 'listening'
    this.#told = side === 'dialling'
  }

  /** This side has opened the stream. */
  open(): void {
    this.#open = true
  }

  /** Whole capsules for the library; empty where there is nothing for it yet. Throws {@link CapsuleError}. */
  take(chunk: Buffer): Buffer {
    if (this.#closed) return Buffer.alloc(0)
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    const out: Buffer[] = []
    const data: Buffer[] = []
    let close: Buffer | null = null
    let at = 0
    while (at < bytes.length && close === null) {
      if (this.#left > 0) {
        const part = bytes.subarray(at, at + this.#left)
        data.push(part)
        this.#left -= part.length
        at += part.length
        continue
      }
      const capsule = readCapsule(bytes, at)
      if (capsule === null) break
      const { type, end } = capsule
      if (type === Type.data) {
        if (!this.#open) throw new CapsuleError('sends on a stream that nobody opened')
        this.#left = end - capsule.dataAt
        at = capsule.dataAt
        if (!this.#told) data.push(bytes.subarray(at, at))
        continue
      }
      const whole = bytes.subarray(at, end)
      if (type === Type.close) close = whole
      else out.push(whole)
      at = end
    }
    this.#closed = close !== null
    this.#held = this.#closed || at === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(at))
    if (data.length > 0) out.push(dataHead(data), ...data)
    this.#told ||= data.length > 0
    if (close !== null) out.push(close)
    return out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out)
  }
}

interface Capsule {
  readonly type: number
  /** Where its data begin, behind the number of the stream; only of data. */
  readonly dataAt: number
  readonly end: number
}

/** The capsule at a place, all of it but its data; null where more of it has to come. */
function readCapsule(bytes: Buffer, at: number): Capsule | null {
  const type = readVarint(bytes, at)
  if (type === null) return null
  const isData = type.value === Type.data
  const isClose = type.value === Type.close
  if (!isData && !isClose && type.value !== Type.streamCredit && !CREDITS.has(type.value))
    throw new CapsuleError(`sends ${NAMES.get(type.value) ?? `a capsule of type ${type.value}`}, which no link has`)
  const length = readVarint(bytes, type.end)
  if (length === null) return null
  const end = length.end + length.value
  const bytesMax = isData ? DATA_BYTES_MAX : isClose ? CLOSE_BYTES_MAX : 2 * VARINT_BYTES_MAX
  if (length.value > bytesMax || (isClose && length.value < CLOSE_CODE_BYTES))
    throw new CapsuleError(`sends a capsule of ${length.value} bytes, which cannot be`)
  if (isClose) return end > bytes.length ? null : { type: type.value, dataAt: end, end }
  // One number or two, and nothing but them; data may follow theirs.
  let valueAt = length.end
  for (let left = type.value === Type.streamCredit ? 2 : 1; left > 0; left -= 1) {
    const number = readVarint(bytes.subarray(0, Math.min(bytes.length, end)), valueAt)
    if (number === null && end <= bytes.length) throw new CapsuleError('sends a capsule that ends too early')
    if (number === null) return null
    const isStream = isData || left === 2
    if (isStream && number.value !== STREAM_ID)
      throw new CapsuleError('speaks of another stream than the one of a link')
    valueAt = number.end
  }
  if (isData) return { type: type.value, dataAt: valueAt, end }
  if (valueAt !== end) throw new CapsuleError('sends a capsule that goes on behind its end')
  return { type: type.value, dataAt: end, end }
}

function readVarint(bytes: Buffer, at: number): { readonly value: number; readonly end: number } | null {
  const first = bytes[at]
  if (first === undefined) return null
  const length = 1 << (first >>> 6)
  if (at + length > bytes.length) return null
  let value = first & 0x3f
  for (let index = 1; index < length; index += 1) value = value * 256 + (bytes[at + index] as number)
  return { value, end: at + length }
}

/** The head of one capsule for all these data. */
function dataHead(data: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(9)
  head.writeUInt32BE((0x80000000 + Type.data) >>> 0, 0)
  head.writeUInt32BE((0x80000000 + 1 + data.reduce((sum, { length }) => sum + length, 0)) >>> 0, 4)
  head[8] = STREAM_ID
  return head
}
