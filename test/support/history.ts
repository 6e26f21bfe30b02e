/**
 * What the writers of a test did, and in which order: the moments at which each write was asked for and answered.
 *
 * Moments are counts of one counter in one process: `invokedAt` is taken before the first byte of a request is sent,
 * `endedAt` after its answer has come. So if one write ended before another was invoked, it truly came first. A write
 * without an answer ends when its daemon has died: until then it may have happened, afterwards it cannot any more.
 */
import { assert } from '@sitelink/protocol/entry'
import type { Shown } from './stamp.js'

/** Requests are split on these boundaries; a write of a history never crosses one, so that it is one entry. */
export const BLOCKS_PER_BOUNDARY = 256

export interface WriteRecord {
  readonly writer: number
  readonly sequence: number
  readonly device: number
  readonly block: number
  readonly count: number
  readonly invokedAt: number
  /** Infinity while it is under way. */
  endedAt: number
  acknowledged: boolean
}

export class History {
  #now = 0
  #sequence = 0
  #records = new Map<string, WriteRecord>()
  #underWay = new Set<WriteRecord>()
  #base: readonly (readonly Shown[])[]

  /** `base`: what each block of each device shows before the first write. */
  constructor(base: readonly (readonly Shown[])[]) {
    this.#base = base
  }

  /** This moment; later ones are larger. */
  now(): number {
    return ++this.#now
  }

  get base(): readonly (readonly Shown[])[] {
    return this.#base
  }

  get writes(): Iterable<WriteRecord> {
    return this.#records.values()
  }

  get count(): number {
    return this.#records.size
  }

  find(writer: number, sequence: number): WriteRecord | undefined {
    return this.#records.get(key(writer, sequence))
  }

  /** A write is about to be sent. */
  invoke(writer: number, device: number, block: number, count: number): WriteRecord {
    const last = block + count - 1
    assert(
      count > 0 && Math.floor(block / BLOCKS_PER_BOUNDARY) === Math.floor(last / BLOCKS_PER_BOUNDARY),
      'a write of a history is one entry',
    )
    const record: WriteRecord = {
      writer,
      sequence: ++this.#sequence,
      device,
      block,
      count,
      invokedAt: this.now(),
      endedAt: Infinity,
      acknowledged: false,
    }
    this.#records.set(key(writer, record.sequence), record)
    this.#underWay.add(record)
    return record
  }

  /** Its answer has come, and it was good. */
  acknowledge(record: WriteRecord): void {
    this.#underWay.delete(record)
    record.endedAt = this.now()
    record.acknowledged = true
  }

  /** Whoever could have answered is dead: what is under way has happened by now or never will. */
  abandonUnderWay(): void {
    const now = this.now()
    for (const record of this.#underWay) record.endedAt = now
    this.#underWay.clear()
  }

  /** Everybody agrees on this content and nothing is under way: older writes need not be remembered. */
  rebase(base: readonly (readonly Shown[])[]): void {
    assert(this.#underWay.size === 0, 'nothing is under way at a new base')
    this.#base = base
    this.#records.clear()
  }
}

function key(writer: number, sequence: number): string {
  return `${writer}/${sequence}`
}
