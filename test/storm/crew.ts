/**
 * The writers of a round, through all lives of the primary: a new set of them after each death of it.
 *
 * Never writes while the primary is down, so that the history of what was under way can be closed. Only a writer that lost
 * its connection may stop; one that was refused is a violation.
 */
import { NbdClientError } from '@sitelink/nbd'
import type { Prng } from '@sitelink/storage/testing'
import { BLOCK_BYTES } from '../support/stamp.js'
import { Writers } from '../support/writers.js'
import { type Cast, JUDGED_DEVICES } from './cast.js'
import type { RoundPlan } from './plan.js'
import type { Trace } from './trace.js'

/** What a round remembers of single writes is bounded: beyond this, writers all but rest. */
const HISTORY_WRITES_MAX = 12_000
const RESTING_MS = 250
/** Writers that nothing hinders any more have their answers after so long. */
const ANSWER_MS_MAX = 60_000

export class Crew {
  #writers: Writers | null = null
  #begun = 0
  #open = false

  constructor(
    private readonly cast: Cast,
    private readonly trace: Trace,
    private readonly prng: Prng,
    private readonly load: RoundPlan['load'],
  ) {}

  get #rests(): Prng {
    return this.prng
  }

  /** Begins to write. */
  async begin(): Promise<void> {
    this.#open = true
    await this.resume()
  }

  /** Writes again, after the primary has come back. */
  async resume(): Promise<void> {
    if (!this.#open || this.#writers !== null) return
    const { cluster, history } = this.cast
    const rests = this.#rests.fork(`rests ${this.#begun}`)
    this.#writers = await Writers.start({
      history,
      prng: this.prng.fork(`life ${this.#begun++}`),
      blocks: JUDGED_DEVICES.map((device) => (cluster.devices[device]?.sizeBytes ?? 0) / BLOCK_BYTES),
      connect: (device) => cluster.connect(cluster.devices[device]?.name ?? ''),
      writerCount: this.load.writers,
      blocksMax: this.load.blocksMax,
      restMs: () => (history.count > HISTORY_WRITES_MAX ? RESTING_MS : rests.below(this.load.restMsMax + 1)),
    })
  }

  /** The primary is dead. `stopped`: by a clean stop, which refuses what it does not take any more. */
  async lost(stopped = false): Promise<void> {
    const writers = this.#writers
    this.#writers = null
    if (writers === null) {
      this.cast.history.abandonUnderWay()
      return
    }
    await writers.lost()
    this.#judge(writers, stopped)
  }

  /** No more writes this round; each writer gets its last answer. */
  async end(): Promise<void> {
    this.#open = false
    const writers = this.#writers
    this.#writers = null
    if (writers === null) return
    let late: NodeJS.Timeout | null = null
    const tooLate = new Promise<'late'>((resolve) => (late = setTimeout(() => resolve('late'), ANSWER_MS_MAX)))
    const ended = await Promise.race([writers.stop(), tooLate])
    if (late !== null) clearTimeout(late)
    if (ended === 'late') this.trace.fail(`writers wait for an answer ${ANSWER_MS_MAX} ms after everything was mended`)
    this.#judge(writers, false)
  }

  #judge(writers: Writers, stopped: boolean): void {
    this.trace.count('writes', writers.acknowledged)
    const { refusal } = writers
    if (refusal === null) return
    if (stopped && refusal instanceof NbdClientError && refusal.kind === 'refused') return
    this.trace.fail(`a writer was refused: ${String(refusal)}`)
  }
}
