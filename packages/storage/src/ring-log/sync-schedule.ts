/**
 * When the log is synced, and when a superblock is written.
 *
 * Owns the one sync that may be under way, and every superblock write, which always goes with a sync of its own. A sync
 * covers what had been written before it started; writes go on meanwhile. It starts when somebody asked, when the oldest
 * unsynced byte is `delayMs` old, or when half of what may be unsynced is. When a sync has made something durable that no
 * group said within `delayMs`, a superblock says it. After a failed write or sync nothing is synced again.
 *
 *   data ──┐
 *          ├─ sync ─ durable          superblock ─ sync ─ durable, freed ─ its copy into the other slot
 *   data ──┘   (data written here waits for the next)
 */
import { type Clock, type LogPosition, type Timer } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import type { FormedGroup } from './group-commit.js'
import type { Anchor } from './anchor.js'
import { LogError } from './log-error.js'
import type { SuperblockStore } from './superblock-store.js'
import type { Superblock } from './superblock.js'

export interface SyncHooks {
  /** Behind the last group in the file. */
  written(): Anchor
  inFlight(): FormedGroup | null
  /** A superblock for now; moves the tail. */
  superblock(cleanStop: boolean): { readonly superblock: Superblock; readonly tail: Anchor }
  /** The durable end grew. */
  durable(end: Anchor): void
  /** A superblock with this tail is durable. */
  freed(tail: Anchor): void
  failed(error: unknown): void
}

export interface SyncScheduleOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly store: SuperblockStore
  readonly delayMs: number
  readonly unsyncedBytesMax: number
  readonly hooks: SyncHooks
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class SyncSchedule {
  readonly #options: SyncScheduleOptions
  #durable: Anchor
  /** Highest durable end that a group or a superblock says. */
  #recorded: LogPosition
  #running = false
  #needed = false
  #superblockNeeded = false
  /** A checkpoint is not in a superblock yet: the next sync takes one along. */
  #superblockAlong = false
  #stopped: { readonly reason: unknown } | null = null
  /** When the oldest group that no sync covers was formed. */
  #unsyncedSinceMs: number | null = null
  #syncTimer: Timer | null = null
  #markTimer: Timer | null = null
  #waiters: Waiter[] = []
  #quiet: (() => void)[] = []
  syncs = 0

  constructor(options: SyncScheduleOptions, durable: Anchor) {
    this.#options = options
    this.#durable = durable
    this.#recorded = durable.position
  }

  get durable(): Anchor {
    return this.#durable
  }

  /** True unless too much is unsynced to form a group at `end`; then a sync is on its way. */
  mayForm(end: LogPosition): boolean {
    const unsynced = end - this.#durable.position
    if (unsynced < this.#options.unsyncedBytesMax) return true
    this.#needed = true
    this.#pump()
    return false
  }

  onFormed(group: FormedGroup): void {
    this.#recorded = this.#durable.position
    if (this.#unsyncedSinceMs !== null) return
    this.#unsyncedSinceMs = group.formedAtMs
    this.#armSync()
  }

  onWritten(group: FormedGroup): void {
    const unsynced = group.after.position - this.#durable.position
    if (group.wantsSync || unsynced * 2 >= this.#options.unsyncedBytesMax) this.#needed = true
    if (group.isCheckpoint) this.#superblockAlong = true
    this.#pump()
  }

  /** Syncs what is in the file, unless a sync that covers it is under way. */
  syncNow(): void {
    this.#needed = true
    this.#pump()
  }

  /** A superblock is wanted as soon as can be. */
  wantSuperblock(): void {
    this.#superblockNeeded = true
    this.#pump()
  }

  /** Resolves when a superblock that says what is true now is durable. Rejects if the log has failed. */
  async writeSuperblock(): Promise<void> {
    if (this.#stopped !== null) throw this.#stopped.reason
    await new Promise<void>((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
      this.wantSuperblock()
    })
  }

  /** Everything written is durable and nothing is under way when this resolves; or the log has failed. */
  async settle(): Promise<void> {
    for (;;) {
      if (this.#stopped !== null && !this.#running) return
      if (!this.#running && this.#covered() && !this.#superblockNeeded) return
      if (!this.#running) this.syncNow()
      if (this.#running) await new Promise<void>((resolve) => this.#quiet.push(resolve))
    }
  }

  /** Runs `action` when everything is durable, with no sync and no superblock but its own under way. */
  async exclusively(action: () => Promise<void>): Promise<void> {
    do await this.settle()
    while (this.#running)
    if (this.#stopped !== null) throw this.#stopped.reason
    this.#running = true
    try {
      await action()
    } finally {
      this.#running = false
      for (const wake of this.#quiet.splice(0)) wake()
      this.#pump()
    }
  }

  /** Writes the superblock of a clean stop, in both slots. Rejects if the log has failed, or does now. */
  async close(): Promise<void> {
    await this.exclusively(async () => {
      const { disk, store, hooks } = this.#options
      const { superblock } = hooks.superblock(true)
      await store.write(superblock)
      await disk.sync()
      await store.copy()
      await disk.sync()
      this.stop(new LogError('LOG_CLOSED', 'the log was closed'))
    })
  }

  /** Nothing is synced or written any more. */
  stop(reason: unknown): void {
    this.#stopped ??= { reason }
    this.#cancelTimers()
    for (const { reject } of this.#waiters.splice(0)) reject(reason)
  }

  /** A new life begins at `durable`. Only when settled. */
  restart(durable: Anchor): void {
    this.#durable = durable
    this.#recorded = durable.position
    this.#unsyncedSinceMs = null
  }

  #covered(): boolean {
    return this.#options.hooks.written().position <= this.#durable.position
  }

  #pump(): void {
    if (this.#running || this.#stopped !== null) return
    if (this.#needed && this.#covered()) this.#needed = false
    if (!this.#needed && !this.#superblockNeeded) return
    this.#running = true
    void this.#run(this.#superblockNeeded || this.#superblockAlong)
  }

  async #run(withSuperblock: boolean): Promise<void> {
    // Whoever asked may be in the middle of a change of what it is about to be asked for.
    if (withSuperblock) await Promise.resolve()
    const waiters = withSuperblock ? this.#waiters.splice(0) : []
    const done = await this.#writeAndSync(withSuperblock).catch((error: unknown) => {
      for (const { reject } of waiters) reject(error)
      this.#fail(error)
      return null
    })
    this.#running = false
    if (done !== null) {
      this.#synced(done.covered, done.tail)
      for (const { resolve } of waiters) resolve()
    }
    for (const wake of this.#quiet.splice(0)) wake()
    this.#pump()
  }

  async #writeAndSync(withSuperblock: boolean): Promise<{ readonly covered: Anchor; readonly tail: Anchor | null }> {
    const { disk, hooks, store } = this.#options
    this.#throwIfStopped()
    let tail: Anchor | null = null
    if (withSuperblock) {
      this.#superblockNeeded = false
      this.#superblockAlong = false
      const made = hooks.superblock(false)
      tail = made.tail
      this.#recorded = this.#durable.position
      await store.write(made.superblock)
      this.#throwIfStopped()
    }
    const covered = hooks.written()
    this.#needed = false
    this.#unsyncedSinceMs = hooks.inFlight()?.formedAtMs ?? null
    this.syncs++
    await disk.sync()
    this.#throwIfStopped()
    if (tail !== null) store.copy().catch((error: unknown) => this.#fail(error))
    return { covered, tail }
  }

  #throwIfStopped(): void {
    if (this.#stopped !== null) throw this.#stopped.reason
  }

  #synced(covered: Anchor, tail: Anchor | null): void {
    const { hooks } = this.#options
    const grew = covered.position > this.#durable.position
    if (grew) this.#durable = covered
    if (this.#unsyncedSinceMs !== null) this.#armSync()
    if (this.#durable.position > this.#recorded) this.#armMark()
    if (grew) hooks.durable(covered)
    if (tail !== null) hooks.freed(tail)
  }

  #fail(error: unknown): void {
    if (this.#stopped === null) this.#options.hooks.failed(error)
  }

  #armSync(): void {
    if (this.#syncTimer !== null || this.#unsyncedSinceMs === null || this.#stopped !== null) return
    const { clock, delayMs } = this.#options
    this.#syncTimer = clock.after(Math.max(0, this.#unsyncedSinceMs + delayMs - clock.nowMs()), () => {
      this.#syncTimer = null
      if (this.#unsyncedSinceMs === null) return
      if (clock.nowMs() < this.#unsyncedSinceMs + delayMs) return this.#armSync()
      const inFlight = this.#options.hooks.inFlight()
      if (inFlight !== null) inFlight.wantsSync = true
      this.syncNow()
    })
  }

  #armMark(): void {
    if (this.#markTimer !== null || this.#stopped !== null) return
    const { clock, delayMs } = this.#options
    const wanted = this.#durable.position
    this.#markTimer = clock.after(delayMs, () => {
      this.#markTimer = null
      if (this.#recorded < wanted) this.wantSuperblock()
      else if (this.#durable.position > this.#recorded) this.#armMark()
    })
  }

  #cancelTimers(): void {
    this.#syncTimer?.cancel()
    this.#markTimer?.cancel()
    this.#syncTimer = null
    this.#markTimer = null
  }
}
