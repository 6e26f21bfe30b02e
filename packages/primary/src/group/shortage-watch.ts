/**
 * Watches the fill of the ring: asks `shortage.ts` who has to let go, and sees to it.
 *
 * Owns the report of a standstill, once and then now and then. It never drops a site by itself: the verdict is pure.
 */
import { MARKING_FILL, STREAMING_GRACE_MS } from '../limits.js'
import type { Slink } from '../slink/slink.js'
import type { Group } from './group.js'
import { judgeShortage } from './shortage.js'

/** A stall is reported once, and again after so long. */
const STALL_REPORT_MS = 30_000

export class ShortageWatch {
  readonly #group: Group
  #reportedMs = -Infinity
  /** When room was last short for another reason than that somebody keeps it. */
  #awayMs = -Infinity

  constructor(group: Group) {
    this.#group = group
  }

  /** To be called when a writer waits for room, and a few times a second. */
  look(): void {
    const { log, parts, writePath, writeBack, slinks, state, logResize } = this.#group
    if (state !== 'running') return
    // Who waits for a resize waits for no room that somebody could give.
    if (logResize.isHolding || log.isCapped) {
      this.#awayMs = parts.clock.nowMs()
      return
    }
    const status = log.status()
    const starving = writePath.waitingCount > 0
    if (!starving && status.usedBytes <= status.ringBytes * MARKING_FILL) return
    const decision = judgeShortage({
      ringBytes: status.ringBytes,
      usedBytes: status.usedBytes,
      end: status.end,
      localPin: writeBack.appliedPosition,
      starving,
      markingFill: MARKING_FILL,
      pins: [...slinks.values()].flatMap(pinOf),
    })
    // A site that keeps acknowledging makes room in a moment, which writers may well wait for.
    const patient = this.#waitedMs(parts.clock.nowMs()) < STREAMING_GRACE_MS
    for (const number of [...decision.drop, ...decision.fail]) {
      const slink = slinks.get(number)
      if (slink === undefined || (patient && slink.stream !== null)) continue
      if (slink.config.overflow === 'fail') slink.overflow.filled()
      else void slink.overflow.drop('the log is short of space')
    }
    this.#report(decision.stall, decision.local)
  }

  /** How long the first that waits has waited for somebody to give up room. */
  #waitedMs(nowMs: number): number {
    return Math.min(this.#group.writePath.headWaitMs(nowMs), nowMs - this.#awayMs)
  }

  #report(stalled: readonly number[], local: boolean): void {
    const { parts, writeBack, writePath } = this.#group
    const nowMs = parts.clock.nowMs()
    if ((stalled.length === 0 && !local) || nowMs - this.#reportedMs < STALL_REPORT_MS) return
    const { failedDeviceIds, heldDeviceIds } = writeBack.status()
    const waitedMs = this.#waitedMs(nowMs)
    // A device that is merely busy makes room in a moment.
    if (local && waitedMs < STREAMING_GRACE_MS && failedDeviceIds.length === 0 && heldDeviceIds.length === 0) return
    this.#reportedMs = nowMs
    const who = local ? 'the local devices' : `slink ${stalled.join(', ')} (policy stall)`
    parts.event({
      kind: 'log-full',
      level: 'warning',
      message: `the log is full and writers wait for ${who}, the first of them for ${Math.round(waitedMs)} ms`,
      facts: { local, waiting: writePath.waitingCount, waitedMs },
    })
  }
}

function pinOf(slink: Slink) {
  if (slink.pin === null || slink.mappings.size === 0) return []
  return [{ number: slink.number, pin: slink.pin, overflow: slink.config.overflow, streaming: slink.stream !== null }]
}
