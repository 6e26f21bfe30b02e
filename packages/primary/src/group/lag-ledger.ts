/**
 * The account of what was written when: for any LSN, how many payload bytes came before it and when it was written.
 *
 * Owns the numbers behind lag and fall-behind, for all slinks together. Exact for the newest
 * {@link LEDGER_EXACT_ENTRIES} LSNs, to the next coarse mark for older ones, never less than the truth for bytes and
 * age. Memory is fixed; noting an entry allocates nothing.
 */
import { assert, type LogPosition, type Lsn } from '@sitelink/protocol'
import { LEDGER_COARSE_ENTRIES, LEDGER_COARSE_MARKS_MAX, LEDGER_EXACT_ENTRIES } from '../limits.js'
import type { Outstanding } from '../slink/fall-behind.js'
import { OldEntries } from './old-entries.js'

export class LagLedger {
  /** When entries that the start found were written, for reports. */
  readonly old: OldEntries
  /** Payload bytes up to and with an LSN, by LSN modulo capacity. */
  readonly #bytes = new Float64Array(LEDGER_EXACT_ENTRIES)
  /** Monotonic milliseconds at which an LSN was appended. */
  readonly #timeMs = new Float64Array(LEDGER_EXACT_ENTRIES)
  readonly #coarseBytes = new Float64Array(LEDGER_COARSE_MARKS_MAX)
  readonly #coarseTimeMs = new Float64Array(LEDGER_COARSE_MARKS_MAX)
  /** Everything at or below it was written before this process started. */
  readonly #baseLsn: Lsn
  readonly #basePosition: LogPosition
  readonly #baseMs: number
  #lastLsn: Lsn
  #totalBytes = 0

  /**
   * `baseLsn`: last LSN found in the log at start, which ends at `basePosition`; `nowMs`: monotonic time of the start, taken
   * for all older entries.
   */
  constructor(baseLsn: Lsn, basePosition: LogPosition, nowMs: number) {
    this.#baseLsn = baseLsn
    this.#basePosition = basePosition
    this.#lastLsn = baseLsn
    this.#baseMs = nowMs
    this.old = new OldEntries(baseLsn)
  }

  get lastLsn(): Lsn {
    return this.#lastLsn
  }

  /** Notes the next LSN. */
  note(lsn: Lsn, bytes: number, nowMs: number): void {
    assert(lsn === this.#lastLsn + 1, 'the ledger notes every LSN in order')
    this.#lastLsn = lsn
    this.#totalBytes += bytes
    const at = lsn % LEDGER_EXACT_ENTRIES
    this.#bytes[at] = this.#totalBytes
    this.#timeMs[at] = nowMs
    if (lsn % LEDGER_COARSE_ENTRIES === 0) {
      const mark = (lsn / LEDGER_COARSE_ENTRIES) % LEDGER_COARSE_MARKS_MAX
      this.#coarseBytes[mark] = this.#totalBytes
      this.#coarseTimeMs[mark] = nowMs
    }
  }

  /** Payload bytes of the entries above `lsn` that this process appended. */
  bytesAbove(lsn: Lsn): number {
    if (lsn >= this.#lastLsn) return 0
    return this.#totalBytes - this.#upTo(lsn, this.#bytes, this.#coarseBytes, 0)
  }

  /** Monotonic time at which the oldest entry above `lsn` was appended; null if there is none. */
  oldestAboveMs(lsn: Lsn): number | null {
    if (lsn >= this.#lastLsn) return null
    if (lsn < this.#baseLsn) return this.#baseMs
    const first = lsn + 1
    if (this.#lastLsn - first < LEDGER_EXACT_ENTRIES) return this.#timeMs[first % LEDGER_EXACT_ENTRIES] as number
    return this.#upTo(lsn, this.#timeMs, this.#coarseTimeMs, this.#baseMs)
  }

  /**
   * What lies above `lsn`: entries, payload bytes, and the age of the oldest in milliseconds. Of entries that were there
   * at the start only their place in the ring is known: what lies there from `position` on counts, headers and all.
   */
  outstanding(lsn: Lsn, position: LogPosition | null, nowMs: number): Outstanding {
    const oldest = this.oldestAboveMs(lsn)
    const ageMs = oldest === null ? null : Math.max(0, nowMs - oldest)
    const found = lsn < this.#baseLsn && position !== null ? Math.max(0, this.#basePosition - position) : 0
    return { ios: Math.max(0, this.#lastLsn - lsn), bytes: this.bytesAbove(lsn) + found, ageMs }
  }

  /**
   * As the age of {@link outstanding}, for a report: of entries that were there at the start it is that of their stamps,
   * by the wall clock. 0 if there is none.
   */
  reportedAgeMs(lsn: Lsn, nowMs: number, wallUs: number): number {
    const oldest = this.oldestAboveMs(lsn)
    if (oldest === null) return 0
    const stampedUs = this.old.oldestAboveUs(lsn)
    return Math.max(0, nowMs - oldest, stampedUs === null ? 0 : (wallUs - stampedUs) / 1000)
  }

  /** Value noted with the largest known LSN at or below `lsn`. */
  #upTo(lsn: Lsn, exact: Float64Array, coarse: Float64Array, base: number): number {
    if (lsn <= this.#baseLsn) return base
    if (this.#lastLsn - lsn < LEDGER_EXACT_ENTRIES) return exact[lsn % LEDGER_EXACT_ENTRIES] as number
    const mark = Math.floor(lsn / LEDGER_COARSE_ENTRIES)
    const newest = Math.floor(this.#lastLsn / LEDGER_COARSE_ENTRIES)
    if (mark * LEDGER_COARSE_ENTRIES <= this.#baseLsn || newest - mark >= LEDGER_COARSE_MARKS_MAX) return base
    return coarse[mark % LEDGER_COARSE_MARKS_MAX] as number
  }
}
