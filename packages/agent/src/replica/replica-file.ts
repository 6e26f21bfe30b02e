/**
 * The file `replica.json` in the state directory: one readable file, replaced atomically and durable on return.
 *
 * Owns its path and its order of writes. What changes with every entry stands in the journal's superblock instead.
 * Updates are applied one after the other; `current` is always what the last durable write holds. A file that cannot be
 * understood is never overwritten.
 */
import type { DiskProvider } from '@sitelink/storage'
import { agentErrors } from '../errors.js'
import { parseReplica, REPLICA_VERSION, type ReplicaState } from './replica-state.js'

export const REPLICA_FILE = 'replica.json'

/** See the head of this file. */
export class ReplicaFile {
  readonly path: string
  readonly #disks: DiskProvider
  #current: ReplicaState
  #queue: Promise<unknown> = Promise.resolve()

  private constructor(path: string, disks: DiskProvider, current: ReplicaState) {
    this.path = path
    this.#disks = disks
    this.#current = current
  }

  /** Reads the file; null where there is none. Throws `AGENT_REPLICA_DAMAGED` or `AGENT_REPLICA_TOO_NEW`. */
  static async open(path: string, disks: DiskProvider, stateDir: string): Promise<ReplicaFile | null> {
    const bytes = await disks.readFile(path)
    if (bytes === null) return null
    const parsed = parseReplica(bytes.toString('utf8'))
    if (parsed.kind === 'too-new') {
      throw agentErrors.create('AGENT_REPLICA_TOO_NEW', { path, version: parsed.version, versionMax: REPLICA_VERSION })
    }
    if (parsed.kind === 'damaged')
      throw agentErrors.create('AGENT_REPLICA_DAMAGED', { path, why: parsed.why, state: stateDir })
    return new ReplicaFile(path, disks, parsed.state)
  }

  /** Writes the first content; durable on return. Replaces what is there: the caller knows that it is of no use. */
  static async create(path: string, disks: DiskProvider, state: ReplicaState): Promise<ReplicaFile> {
    await disks.replaceFile(path, textOf(state))
    return new ReplicaFile(path, disks, state)
  }

  /** What the last durable write holds. */
  get current(): ReplicaState {
    return this.#current
  }

  /**
   * Changes the content; resolves when the new one is durable. `change` answers the same object where there is nothing to
   * change, and then nothing is written. Where the write fails nothing has changed here, though either content may be
   * found after a power cut.
   */
  update(change: (state: ReplicaState) => ReplicaState): Promise<ReplicaState> {
    const run = async (): Promise<ReplicaState> => {
      const next = change(this.#current)
      if (next === this.#current) return next
      await this.#disks.replaceFile(this.path, textOf(next))
      this.#current = next
      return next
    }
    const result = this.#queue.then(run)
    this.#queue = result.catch(() => {}) // a failed update does not block the next one
    return result
  }

  /** Resolves when no update is under way. */
  async settled(): Promise<void> {
    await this.#queue
  }
}

function textOf(state: ReplicaState): Buffer {
  return Buffer.from(`${JSON.stringify({ version: REPLICA_VERSION, ...state }, null, 2)}\n`)
}
