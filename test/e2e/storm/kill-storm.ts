/**
 * Rounds of writing, killing and judging: the prefix checker over real processes.
 *
 * A round: concurrent writers over two devices; at a random moment `kill -9` of the agent, of the primary, or of both;
 * what the agent then shows, its journal replayed and no primary connected, has to be a prefix; a restarted primary has
 * to have everything that it acknowledged; and once all run again and nothing is written, both sides have to be equal.
 * Some rounds write so much while the agent is away that the log overflows, and some kill again during the catch-up.
 * While a resync is under way an agent's devices are no prefix, and it has to say so itself.
 */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { Prng } from '@sitelink/storage/testing'
import type { Cluster } from '../../support/cluster.js'
import { History } from '../../support/history.js'
import { replayJournal } from '../../support/journal-replay.js'
import { checkPrefix } from '../../support/prefix-checker.js'
import { BLOCK_BYTES, readStamps, type Shown } from '../../support/stamp.js'
import { slinkOf } from '../../support/status-shape.js'
import { Writers } from '../../support/writers.js'

export type Victim = 'agent' | 'primary' | 'both'

export interface StormCounts {
  rounds: number
  kills: number
  writes: number
  /** Judgements of the agent's devices, and those passed over because it said that a resync was under way. */
  judged: number
  inconsistent: number
  overflows: number
}

export interface StormOptions {
  readonly cluster: Cluster
  readonly prng: Prng
  /** With a synchronous slink nothing acknowledged may be missing at the agent. */
  readonly synchronous: boolean
}

export class KillStorm {
  readonly counts: StormCounts = { rounds: 0, kills: 0, writes: 0, judged: 0, inconsistent: 0, overflows: 0 }
  readonly #cluster: Cluster
  readonly #prng: Prng
  readonly #options: StormOptions
  readonly #history: History
  /** Writes so large that a round of them is more than the log holds. */
  #flooding = false

  constructor(options: StormOptions) {
    this.#options = options
    this.#cluster = options.cluster
    this.#prng = options.prng
    this.#history = new History(
      options.cluster.devices.map(({ sizeBytes }) =>
        Array.from({ length: sizeBytes / BLOCK_BYTES }, (): Shown => ({ kind: 'empty' })),
      ),
    )
  }

  async round(): Promise<void> {
    this.counts.rounds++
    // A flood needs an agent that is away while the primary goes on.
    this.#flooding = !this.#options.synchronous && this.#prng.chance(0.1)
    const victim: Victim = this.#flooding ? 'agent' : this.#prng.pick(['agent', 'primary', 'both'] as const)
    const writers = await this.#startWriters()
    const before = this.#flooding ? 20 : this.#prng.between(10, 250)
    await writers.reach(before)
    await this.#strike(victim, writers)
    if (this.#prng.chance(0.25)) {
      // Again, while they catch up.
      await delay(this.#prng.below(60))
      await this.#strike(this.#prng.pick(['agent', 'primary', 'both'] as const), null)
    }
    await this.#compare()
  }

  #startWriters(): Promise<Writers> {
    const { cluster } = this.#options
    return Writers.start({
      history: this.#history,
      prng: this.#prng.fork(`round ${this.counts.rounds}`),
      blocks: cluster.devices.map(({ sizeBytes }) => sizeBytes / BLOCK_BYTES),
      connect: (device) => cluster.connect(cluster.devices[device]?.name ?? ''),
      writerCount: 6,
      blocksMax: this.#flooding ? 64 : 8,
    })
  }

  /** Kills, judges what is there, and starts again whatever was killed. */
  async #strike(victim: Victim, writers: Writers | null): Promise<void> {
    await delay(this.#prng.below(8))
    this.counts.kills += victim === 'both' ? 2 : 1
    const agent = this.#cluster.agent()
    if (victim === 'agent') {
      // The primary lives: nobody lets it through to the agent before that has been judged.
      await agent.kill()
      agent.proxy.cut()
      // Asynchronous writers go on without the agent for a while; synchronous ones wait for it.
      const alone = this.#flooding ? 400 : this.#prng.below(100)
      if (writers !== null && !this.#options.synchronous) {
        await writers.reach(writers.acknowledged + alone)
        await this.#finish(writers)
      }
      const replayed = await this.#replayed()
      await agent.start()
      await this.#judgeAgent(replayed)
      if (slinkOf(await this.#cluster.status(), agent.slink).behind) this.counts.overflows++
      agent.proxy.mend()
      if (writers !== null && this.#options.synchronous) await this.#finish(writers)
      return
    }
    const deaths = [this.#cluster.killPrimary(), victim === 'both' ? agent.kill() : null]
    await Promise.all(deaths)
    if (writers === null) this.#history.abandonUnderWay()
    else await this.#finish(writers, true)
    const replayed = victim === 'both' ? await this.#replayed() : null
    if (victim === 'both') await agent.start()
    await this.#judgeAgent(replayed)
    await this.#cluster.startPrimary()
    this.#judge('the restarted primary', await this.#cluster.images(), this.#history.now())
  }

  async #finish(writers: Writers, dead = false): Promise<void> {
    await (dead ? writers.lost() : writers.stop())
    this.counts.writes += writers.acknowledged
    assert.equal(writers.refusal, null, `a writer was refused: ${String(writers.refusal)}`)
  }

  /**
   * The agent's devices while no primary is connected, and what they were with the whole journal replayed while it was
   * dead: in that nothing acknowledged by a synchronous slink may be missing.
   */
  async #judgeAgent(replayed: readonly Buffer[] | null): Promise<void> {
    const agent = this.#cluster.agent()
    // Until it has applied its journal takes a while: where the journal was replayed, that is waited for now and then.
    const wait = replayed === null || this.#prng.chance(0.4)
    const status = wait ? await agent.applied() : await agent.status()
    if (status.replica === null || status.replica.consistent) {
      this.counts.judged++
      if (wait) this.#judge('the agent', await agent.images())
      if (replayed !== null) {
        const requiredUntil = this.#options.synchronous ? this.#history.now() : -1
        this.#judge('the journal of the dead agent', replayed, requiredUntil)
      }
    } else {
      this.counts.inconsistent++
    }
  }

  /** The devices of the dead agent with its journal replayed by the test. */
  #replayed(): Promise<Buffer[]> {
    const agent = this.#cluster.agent()
    return replayJournal(
      agent.journal,
      agent.devices.map(({ path }) => path),
    )
  }

  #judge(whose: string, images: readonly Buffer[], requiredUntil = -1): void {
    const shown = images.map(readStamps)
    const { faults } = checkPrefix({ history: this.#history, shown, requiredUntil })
    assert.deepEqual(faults, [], `round ${this.counts.rounds}: ${whose}`)
  }

  /** Everybody runs and nothing is written: both sides become equal. */
  async #compare(): Promise<void> {
    const agent = this.#cluster.agent()
    await this.#cluster.applied()
    const [here, there] = await Promise.all([this.#cluster.images(), agent.images()])
    this.#judge('the primary at rest', here, this.#history.now())
    here.forEach((image, device) => {
      const other = there[device] ?? Buffer.alloc(0)
      assert.ok(
        image.equals(other),
        `round ${this.counts.rounds}: device ${device} differs at ${firstDifference(image, other)}`,
      )
    })
    this.#history.rebase(here.map(readStamps))
  }
}

function firstDifference(one: Buffer, other: Buffer): string {
  for (let at = 0; at < one.length; at += BLOCK_BYTES) {
    if (!one.subarray(at, at + BLOCK_BYTES).equals(other.subarray(at, at + BLOCK_BYTES)))
      return `block ${at / BLOCK_BYTES}`
  }
  return `byte ${Math.min(one.length, other.length)} (its size)`
}
