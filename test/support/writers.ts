/**
 * Concurrent writers over the devices of a group, who record what they do in a {@link History}.
 *
 * Each writer has one connection to each device and one request under way, so that its writes to different devices come
 * one after another; several writers overlap in time and in place. A writer ends when it is told to, or when its
 * connection is lost; it never retries a write, because nobody knows what became of it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { NbdClient, NbdClientError } from '@sitelink/nbd'
import type { Prng } from '@sitelink/storage/testing'
import { BLOCKS_PER_BOUNDARY, type History } from './history.js'
import { BLOCK_BYTES, stampedPayload } from './stamp.js'

export interface WriterOptions {
  readonly history: History
  readonly prng: Prng
  /** Blocks of each device. */
  readonly blocks: readonly number[]
  readonly connect: (device: number) => Promise<NbdClient>
  readonly writerCount: number
  /** Most blocks of one write. */
  readonly blocksMax: number
  /** How long a writer rests before its next write. Default: not at all. */
  readonly restMs?: () => number
}

export class Writers {
  readonly #options: WriterOptions
  readonly #clients: NbdClient[] = []
  readonly #loops: Promise<void>[] = []
  readonly #watchers = new Set<() => void>()
  #acknowledged = 0
  #stopping = false
  #lost: unknown = null

  private constructor(options: WriterOptions) {
    this.#options = options
  }

  static async start(options: WriterOptions): Promise<Writers> {
    const writers = new Writers(options)
    for (let writer = 0; writer < options.writerCount; writer++) {
      const clients = await Promise.all(options.blocks.map((_, device) => options.connect(device)))
      writers.#clients.push(...clients)
      writers.#loops.push(writers.#write(writer, clients, options.prng.fork(`writer ${writer}`)))
    }
    return writers
  }

  /** Writes that were acknowledged since the start. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Resolves when so many writes have been acknowledged, or when every writer has ended. */
  async reach(count: number): Promise<void> {
    let watcher = (): void => {}
    const reached = new Promise<void>((resolve) => {
      watcher = () => {
        if (this.#acknowledged >= count) resolve()
      }
    })
    this.#watchers.add(watcher)
    watcher()
    await Promise.race([reached, Promise.all(this.#loops)])
    this.#watchers.delete(watcher)
  }

  /** No writer begins another write; resolves when each has its last answer. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#loops)
    await Promise.all(this.#clients.map((client) => client.destroy()))
  }

  /** The daemon is dead: resolves when every writer has noticed, and closes the history of what was under way. */
  async lost(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#loops)
    this.#options.history.abandonUnderWay()
    await Promise.all(this.#clients.map((client) => client.destroy()))
  }

  /** The error that ended the first writer, if it was another than a lost connection. */
  get refusal(): unknown {
    return this.#lost instanceof NbdClientError && this.#lost.kind === 'lost' ? null : this.#lost
  }

  async #write(writer: number, clients: readonly NbdClient[], prng: Prng): Promise<void> {
    const { history, blocks, blocksMax, restMs = () => 0 } = this.#options
    while (!this.#stopping) {
      const rest = restMs()
      if (rest > 0) {
        await delay(rest)
        if (this.#stopping) return
      }
      const device = prng.below(clients.length)
      const all = blocks[device] ?? 1
      // A third of the writes meet in a few blocks, so that overwrites and concurrent overlaps are common.
      const block = prng.chance(0.33) ? prng.below(Math.min(16, all)) : prng.below(all)
      const room = Math.min(all - block, BLOCKS_PER_BOUNDARY - (block % BLOCKS_PER_BOUNDARY))
      const count = Math.min(room, prng.between(1, blocksMax))
      const client = clients[device]
      if (client === undefined) return
      try {
        if (prng.chance(0.02)) await client.flush()
        const record = history.invoke(writer, device, block, count)
        const payload = stampedPayload({ writer, sequence: record.sequence, device, block }, count)
        await client.write(block * BLOCK_BYTES, payload, { fua: prng.chance(0.05) })
        history.acknowledge(record)
      } catch (error) {
        this.#lost ??= error
        return
      }
      this.#acknowledged++
      for (const watcher of this.#watchers) watcher()
    }
  }
}
