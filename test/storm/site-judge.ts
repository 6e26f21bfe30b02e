/**
 * Holds what the sites show against what was written: prefixes after each death, everything acknowledged at the primary,
 * and both sides byte for byte when all is quiet.
 *
 * Only looks. An agent is judged while nobody reaches it, dead by its journal and living by its devices; one that says
 * that a resync is under way, or that lacks a device, is no prefix and is passed over.
 */
import { readFile } from 'node:fs/promises'
import type { AgentSite } from '../support/cluster.js'
import { replayJournal } from '../support/journal-replay.js'
import { checkPrefix } from '../support/prefix-checker.js'
import { BLOCK_BYTES, readStamps } from '../support/stamp.js'
import type { AgentStatus } from '../support/status-shape.js'
import { type Cast, JUDGED_DEVICES } from './cast.js'
import type { Trace } from './trace.js'

interface MappingStatus {
  readonly number: number
  readonly unmapping: boolean
}

export class SiteJudge {
  /**
   * Whether everything acknowledged is at the synchronous site: it stalls, was protected when the round began, and the
   * operator did nothing since that lifts the protection.
   */
  strict = false

  constructor(
    private readonly cast: Cast,
    private readonly trace: Trace,
  ) {}

  /** What a dead agent's devices are with its journal replayed to its end. */
  replay(agent: AgentSite): Promise<Buffer[]> {
    return replayJournal(
      agent.journal,
      agent.devices.map(({ path }) => path),
    )
  }

  /** An agent that runs and that nobody reaches; `replayed` is what it was while it was dead. */
  async agent(agent: AgentSite, replayed: readonly Buffer[]): Promise<void> {
    const status = await agent.applied()
    if (status.replica === null) return
    if (!status.replica.consistent || !hasAll(status, this.cast.cluster.devices.length)) {
      this.trace.count('agents in a resync')
      return
    }
    const images = await agent.images()
    this.#judge(`the devices of agent ${agent.slink}`, images)
    const required = agent.slink === 1 && this.strict ? this.cast.history.now() : -1
    this.#judge(`the journal of the dead agent ${agent.slink}`, replayed, required)
    if (required >= 0) this.trace.count('judged with nothing missing')
  }

  /** A primary that nobody writes to. `files`: also what is on its local devices, behind a clean stop. */
  async primary(whose: string, files = false): Promise<void> {
    const { cluster, history } = this.cast
    const images = files
      ? await Promise.all(cluster.devices.map(({ path }) => readFile(path)))
      : await this.cast.cluster.images()
    this.#judge(whose, images, history.now())
  }

  /** Everybody runs and nothing is written: all sides are equal, and everything acknowledged is there. */
  async quiet(): Promise<void> {
    const { cluster, history } = this.cast
    const here = await cluster.images()
    this.#judge('the primary at rest', here, history.now())
    for (const agent of cluster.agents) {
      const there = await agent.images()
      const places = cluster.devices.flatMap(({ name }, device) => {
        const at = firstDifference(here[device] ?? Buffer.alloc(0), there[device] ?? Buffer.alloc(0))
        return at === null ? [] : [`${name} at ${at}`]
      })
      if (places.length > 0) this.trace.fail(`agent ${agent.slink} differs from the primary: ${places.join(', ')}`)
    }
    history.rebase(JUDGED_DEVICES.map((device) => readStamps(here[device] ?? Buffer.alloc(0), device)))
    this.trace.count('judged equal')
  }

  #judge(whose: string, images: readonly Buffer[], requiredUntil = -1): void {
    const shown = JUDGED_DEVICES.map((device) => readStamps(images[device] ?? Buffer.alloc(0), device))
    const { faults } = checkPrefix({ history: this.cast.history, shown, requiredUntil })
    if (faults.length > 0) this.trace.fail(`${whose} is no prefix:\n  ${faults.join('\n  ')}`)
    this.trace.count('judged prefixes')
  }
}

/** Whether every device of the group is mapped there and none is on its way out. */
function hasAll(status: AgentStatus, count: number): boolean {
  const { mappings = [] } = status as AgentStatus & { mappings?: readonly MappingStatus[] }
  return mappings.length === count && mappings.every(({ unmapping }) => !unmapping)
}

/** The first block in which two images differ, in words; null if they are equal. */
export function firstDifference(one: Buffer, other: Buffer): string | null {
  if (one.equals(other)) return null
  for (let at = 0; at < Math.min(one.length, other.length); at += BLOCK_BYTES) {
    if (!one.subarray(at, at + BLOCK_BYTES).equals(other.subarray(at, at + BLOCK_BYTES)))
      return `block ${at / BLOCK_BYTES}`
  }
  return `byte ${Math.min(one.length, other.length)} (its size)`
}
