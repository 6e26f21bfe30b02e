/**
 * Another size for the log of a group that runs: what the group has to say about it.
 *
 * Owns the refusal of a size in which sites would lose their place at once, the hold of the writers for the moment of the
 * change (a hold is no shortage: nobody is given up for it), and the report. The change itself is the log's.
 */
import { formatBytes } from '@sitelink/daemon'
import { LogError, ringLimits, type ResizeOutcome } from '@sitelink/storage'
import { mapError } from '../error-map.js'
import { primaryErrors } from '../errors.js'
import { LOG_BYTES_MIN, MARKING_FILL } from '../limits.js'
import type { Group } from './group.js'

export interface ResizeWish {
  /** Bytes of the log with its superblocks. */
  readonly sizeBytes: number
  /** Growing: the new space is not written once. */
  readonly sparse: boolean
  /** Growing: also over bytes behind the log that are not zero. */
  readonly overwrite: boolean
}

export class LogResize {
  readonly #group: Group
  #isHolding = false

  constructor(group: Group) {
    this.#group = group
  }

  /** Writers wait for a moment. */
  get isHolding(): boolean {
    return this.#isHolding
  }

  /**
   * Begins. Rejects with LOG_RESIZE_BUSY, LOG_RESIZE_USED or LOG_RESIZE_REFUSED, and nothing has changed. `ended` tells
   * how it ended; by then a size that it has is durable. Only a disk that is full or fails can still refuse it.
   */
  async begin(wish: ResizeWish): Promise<{ readonly ended: Promise<ResizeOutcome> }> {
    await this.#refuseShort(wish.sizeBytes)
    return new Promise((resolve, reject) => {
      let isBegun = false
      const ended = this.#resize(wish, () => {
        isBegun = true
        // Not in the turn in which it begins: what it ends with is awaited by then.
        queueMicrotask(() => resolve({ ended }))
      })
      ended.catch((error: Error) => {
        if (isBegun) this.#failed(wish.sizeBytes, error)
        else reject(error)
      })
    })
  }

  /** What nobody needs is let go first. */
  async #refuseShort(sizeBytes: number): Promise<void> {
    const { log, writeBack } = this.#group
    const { sizeBytes: nowBytes, ringBytes, resize } = log.status()
    // A size that no log can have is the log's to refuse, which says what the least is.
    if (resize !== null || sizeBytes >= nowBytes || sizeBytes < LOG_BYTES_MIN) return
    writeBack.checkpoint()
    this.#group.advanceTail()
    await log.writeSuperblock()
    const used = log.status().usedBytes
    const around = nowBytes - ringBytes
    if (used <= (sizeBytes - around) * MARKING_FILL) return
    throw short(sizeBytes, used, Math.max(LOG_BYTES_MIN, Math.ceil(used / MARKING_FILL) + around))
  }

  async #resize({ sizeBytes, sparse, overwrite }: ResizeWish, begun: () => void): Promise<ResizeOutcome> {
    const { log, writeBack } = this.#group
    try {
      const hold = (): (() => void) => this.#hold()
      const outcome = await log.resize({ sizeBytes, sparse, overwrite, begun, hold })
      writeBack.limitLag(ringLimits(log.ringBytes))
      this.#report(outcome)
      return outcome
    } catch (error) {
      throw this.#refusal(error, sizeBytes)
    }
  }

  #hold(): () => void {
    this.#isHolding = true
    return () => {
      this.#isHolding = false
      if (this.#group.state === 'running') this.#group.writePath.pump()
    }
  }

  #report({ fromBytes, toBytes, left }: ResizeOutcome): void {
    if (fromBytes === toBytes) return
    const but = left === null ? '' : `; what is left behind it could not be given back: ${left}`
    this.#group.parts.event({
      kind: 'log-resized',
      level: left === null ? 'info' : 'warning',
      message: `the log was resized from ${formatBytes(fromBytes)} to ${formatBytes(toBytes)}${but}`,
      facts: { fromBytes, toBytes },
    })
  }

  /** Whoever asked may have gone. */
  #failed(sizeBytes: number, error: Error): void {
    this.#group.parts.event({
      kind: 'log-resize-failed',
      level: 'warning',
      message: `the log keeps its size: ${error.message}`,
      facts: { sizeBytes },
    })
  }

  #refusal(error: unknown, sizeBytes: number): unknown {
    if (!(error instanceof LogError)) return mapError(error)
    const { code, message: why } = error
    const least = error.facts['leastBytes']
    switch (code) {
      case 'LOG_RESIZE_BUSY':
        return primaryErrors.create('LOG_RESIZE_BUSY', { why }, { cause: error })
      case 'LOG_RESIZE_USED':
        return short(sizeBytes, this.#group.log.status().usedBytes, Number(least))
      case 'LOG_TOO_SMALL':
      case 'LOG_BEYOND_DISK':
      case 'LOG_RESIZE_BEHIND':
      case 'LOG_RESIZE_PIECES':
        return primaryErrors.create('LOG_RESIZE_REFUSED', { why, next: NEXT[code], reason: code }, { cause: error })
      default:
        return mapError(error)
    }
  }
}

const NEXT = {
  LOG_TOO_SMALL: 'give at least 2m',
  LOG_BEYOND_DISK: 'make the block device larger first, or give a smaller size',
  LOG_RESIZE_BEHIND: 'look at what lies behind the log; <prog> log resize --overwrite takes it',
  LOG_RESIZE_PIECES: 'try again when less is in the log: <prog> status',
} as const

function short(sizeBytes: number, usedBytes: number, leastBytes: number): Error {
  return primaryErrors.create('LOG_RESIZE_USED', {
    size: formatBytes(sizeBytes),
    used: formatBytes(usedBytes),
    least: formatBytes(leastBytes),
    sizeBytes,
    usedBytes,
    leastBytes,
  })
}
