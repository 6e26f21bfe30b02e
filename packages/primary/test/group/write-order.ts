/**
 * The plain model that a group is held to: the order of its entries, and what each device holds after any of them.
 *
 * Owns how requests become entries (1 MiB pieces for writes), so that an entry's index is its LSN. Judges nothing.
 */
import { RANGE_BYTES_MAX } from '@sitelink/protocol'
import { MIB } from './group-world.js'

export interface Change {
  readonly device: number
  readonly offset: number
  readonly length: number
  /** Null: zeros. */
  readonly payload: Buffer | null
}

/** The entries of one request, in order. */
export function entriesOf(change: Change): Change[] {
  const step = change.payload === null ? RANGE_BYTES_MAX : MIB
  const pieces: Change[] = []
  for (let done = 0; done < change.length;) {
    const offset = change.offset + done
    const length = Math.min(change.length - done, step - (offset % step))
    pieces.push({
      device: change.device,
      offset,
      length,
      payload: change.payload?.subarray(done, done + length) ?? null,
    })
    done += length
  }
  return pieces
}

export class WriteOrder {
  /** What the devices held at {@link baseLsn}. */
  readonly #base: Buffer[]
  #baseLsn = 0
  #entries: Change[] = []

  constructor(sizes: readonly number[]) {
    this.#base = sizes.map((size) => Buffer.alloc(size))
  }

  /** Last LSN that was given out. */
  get lastLsn(): number {
    return this.#baseLsn + this.#entries.length
  }

  /** Adds a request; answers the LSN of its last entry. */
  add(change: Change): number {
    this.#entries.push(...entriesOf(change))
    return this.lastLsn
  }

  /** The history ended at `lsn`: what came after never happened. Answers what the devices hold then. */
  cutAt(lsn: number): readonly Buffer[] {
    for (const { device, offset, length, payload } of this.#entries.slice(0, lsn - this.#baseLsn)) {
      const base = this.#base[device] as Buffer
      if (payload === null) base.fill(0, offset, offset + length)
      else payload.copy(base, offset)
    }
    this.#entries = []
    this.#baseLsn = lsn
    return this.#base
  }
}

/** Where two buffers begin to differ, for a message. */
export function firstDifference(found: Buffer, expected: Buffer): number | null {
  if (found.equals(expected)) return null
  for (let at = 0; at < Math.max(found.length, expected.length); at += 1) if (found[at] !== expected[at]) return at
  return null
}
