/**
 * Slink 0 as writers see it: with the mode `sync` they wait until the local devices have their writes on stable storage.
 *
 * Owns no state: how far the devices are is the applied mark of write-back, whether anybody waits is in the configuration.
 * A device that fails is waited for as long as that takes: its writes are tried again, and reads come from the log.
 */
import type { Group } from './group.js'
import type { HoldingSite } from './holds.js'

export class LocalSite implements HoldingSite {
  readonly number = 0
  readonly level = 'durable'
  readonly sync = true
  readonly #group: Group

  constructor(group: Group) {
    this.#group = group
  }

  get holds(): boolean {
    return this.#group.config.local.mode === 'sync'
  }

  get receivedLsn(): number {
    return this.#group.writeBack.appliedLsn
  }

  get durableLsn(): number {
    return this.#group.writeBack.appliedLsn
  }

  /** Somebody waits: nothing of it is left to the timers of the log and of write-back. */
  hurry(): void {
    if (!this.holds || this.#group.holds.oldestHeldBy(this) === Infinity) return
    const { log, writeBack, writtenMark } = this.#group
    if (log.durableLsn < writtenMark.point.lsn) log.requestSync()
    writeBack.checkpoint()
  }
}
