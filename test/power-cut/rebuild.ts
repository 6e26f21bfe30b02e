/**
 * The disks of one host as a power cut at any event of a trace may have left them.
 *
 * Owns a walk along the trace, forward only, and the host's disks as they are there. A write counts as visible when it
 * ended; a sync covers what had ended when it began. At the cut, what had begun and not ended lands, sector by sector,
 * or not, as everything that no sync covers; a name that was being changed is changed or not.
 */
import assert from 'node:assert/strict'
import type { FaultDiskProvider, FaultMedium, PowerCutPolicy, Prng } from '@sitelink/storage/testing'
import type { Operation, TraceEvent } from './trace.js'

export class HostWalk {
  readonly #host: string
  readonly #disks: FaultDiskProvider
  readonly #events: readonly TraceEvent[]
  #at = 0
  /** Operations under way; for a sync, what it covers: the newest change that had ended when it began. */
  readonly #underWay = new Map<number, { readonly operation: Operation; readonly covers: number }>()

  /** `disks`: the host when the trace began; it is used up. */
  constructor(host: string, disks: FaultDiskProvider, events: readonly TraceEvent[]) {
    this.#host = host
    this.#disks = disks
    this.#events = events
  }

  /** Walks until the first `end` events have happened. */
  async advance(end: number): Promise<void> {
    assert(end >= this.#at && end <= this.#events.length, 'a walk goes forward, and not beyond its trace')
    for (; this.#at < end; this.#at++) {
      const event = this.#events[this.#at] as TraceEvent
      if (event.kind === 'mark' || event.host !== this.#host) continue
      const { operation } = event
      if (event.kind === 'begin') {
        const covers = operation.kind === 'sync' ? this.#disks.medium(operation.path).sequence : 0
        this.#underWay.set(event.id, { operation, covers })
        continue
      }
      const begun = this.#underWay.get(event.id)
      assert(begun !== undefined, 'what ends has begun')
      this.#underWay.delete(event.id)
      if (operation.kind === 'sync') this.#disks.medium(operation.path).synced(begun.covers)
      else await perform(this.#disks, operation)
    }
  }

  /** What the next process of the host would find if the power were cut here. The walk itself goes on undisturbed. */
  async cut(policy: PowerCutPolicy, prng: Prng): Promise<FaultDiskProvider> {
    const disks = this.#disks.fork(prng)
    for (const { operation } of prng.shuffle([...this.#underWay.values()])) {
      if (operation.kind === 'sync') continue
      if (operation.kind === 'change' || prng.chance(0.5)) await perform(disks, operation)
    }
    return disks.powerCut(policy)
  }

  /** Bytes that are written and that no sync covers, those under way included. */
  get unsyncedBytes(): number {
    let bytes = 0
    const media = new Set<FaultMedium>(this.#disks.paths().map((path) => this.#disks.medium(path)))
    for (const medium of media) for (const { length } of medium.unsynced) bytes += length
    for (const { operation } of this.#underWay.values()) if (operation.kind === 'change') bytes += operation.length
    return bytes
  }
}

async function perform(disks: FaultDiskProvider, operation: Exclude<Operation, { kind: 'sync' }>): Promise<void> {
  switch (operation.kind) {
    case 'change':
      if (operation.length > 0) disks.medium(operation.path).apply(operation.offset, operation.length, operation.bytes)
      return
    case 'resize':
      disks.medium(operation.path).resize(operation.sizeBytes)
      return
    case 'create':
      await (await disks.create(operation.path, operation.sizeBytes)).close()
      return
    case 'replace':
      await disks.replaceFile(operation.path, operation.bytes)
      return
    case 'remove':
      await disks.removeFile(operation.path)
  }
}
