/**
 * Makes a log larger or smaller while it is in use: docs/internals/replog-format.md, section 8.
 *
 * Owns the order that makes a crash harmless at every step. Whatever is needed for the new size lies in its place, synced,
 * before the one superblock that says so; until that is durable nothing is written that the old size needs, and nothing by
 * the new one; only behind it is anything given back. A resize that is refused, or whose disk has no room, has changed
 * nothing. Its own syncs count: one that fails may have cost bytes of the log, so the log fails.
 */
import { assert, type LogPosition } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import { DiskError } from '../disk/disk-error.js'
import type { ResizeOptions, ResizeOutcome, ResizeStatus } from './contract.js'
import { geometryOf, ringBytesOf, roomNeeded } from './geometry.js'
import { isPossibleLayout, layoutAround, piecesAt, shrinkTo, type RingPiece, type Shrink } from './layout.js'
import { fillStep, fillStepEnd } from './fill.js'
import { BLOCK_BYTES, CATCH_UP_BYTES, FILL_BYTES, LOG_BYTES_MIN, RING_OFFSET_BYTES, RING_PIECES_MAX } from './limits.js'
import { LogError, type LogFacts } from './log-error.js'
import type { LogParts } from './log-parts.js'
import { RingSpace } from './ring-space.js'
import { isZero } from './superblock.js'

export class Resizer {
  readonly #parts: LogParts
  readonly #disk: Disk
  #status: ResizeStatus | null = null
  #cap: LogPosition = Number.POSITIVE_INFINITY

  constructor(parts: LogParts) {
    this.#parts = parts
    this.#disk = parts.options.disk
  }

  /** How far a resize is; null if none is under way. */
  get status(): ResizeStatus | null {
    return this.#status
  }

  /** Until a ring has shrunk it is used no further than it will reach, whatever is released. */
  get isCapped(): boolean {
    return this.#cap !== Number.POSITIVE_INFINITY
  }

  /** Nothing may be written at or above this position. */
  get cap(): LogPosition {
    return this.#cap
  }

  async resize(options: ResizeOptions): Promise<ResizeOutcome> {
    const { space } = this.#parts
    if (this.#status !== null)
      throw this.#refusal('LOG_RESIZE_BUSY', `it is being resized to ${this.#status.toBytes} bytes already`)
    const ringBytes = this.#ringBytesFor(options.sizeBytes)
    const fromBytes = RING_OFFSET_BYTES + space.ringBytes
    const toBytes = RING_OFFSET_BYTES + ringBytes
    if (fromBytes === toBytes) {
      options.begun?.()
      return { fromBytes, toBytes, left: null }
    }
    this.#status = { fromBytes, toBytes, step: 'preparing', bytesDone: 0, bytesTotal: 0 }
    try {
      const left = await (toBytes > fromBytes ? this.#grow(ringBytes, options) : this.#shrink(ringBytes, options))
      return { fromBytes, toBytes, left }
    } finally {
      this.#status = null
      this.#uncap()
    }
  }

  /** The ring is used as far as it reaches. */
  #uncap(): void {
    this.#cap = Number.POSITIVE_INFINITY
    if (!this.#parts.isOpen()) return
    this.#parts.options.listener.spaceFreed()
    this.#parts.commit.resume()
  }

  /** Room behind the end first, then the superblock. */
  async #grow(ringBytes: number, options: ResizeOptions): Promise<null> {
    const { space } = this.#parts
    const { ringOffset } = space
    const from = ringOffset + space.ringBytes
    const to = ringOffset + ringBytes
    // It may have grown since it was opened, and what it gained hold anything.
    await this.#disk.measure()
    const diskBytes = this.#disk.sizeBytes
    const there = Math.min(to, diskBytes)
    if (options.overwrite !== true) await this.#refuseUsed(from, there)
    try {
      if (diskBytes < to) await this.#resizeDisk(to)
      options.begun?.()
      await this.#fill(from, options.sparse === true ? there : to)
    } catch (error) {
      if (this.#parts.isOpen() && this.#disk.sizeBytes > diskBytes) await this.#resizeDisk(diskBytes)
      if (!(error instanceof DiskError)) throw error
      if (error.code === 'DISK_NOT_SUPPORTED')
        throw this.#refusal('LOG_BEYOND_DISK', `it would end at ${to}, its block device has ${diskBytes} bytes`)
      throw this.#refusal('LOG_RESIZE_SPACE', `it cannot have ${to - from} bytes more: ${error.message}`, error)
    }
    await this.#switch(ringBytes, options, async (tail, head) => piecesAt(space.layout, tail, head - tail))
    return null
  }

  /** What lies behind the new end first, then the superblock, then the end. */
  async #shrink(ringBytes: number, options: ResizeOptions): Promise<string | null> {
    const { space, retention, commit, sync } = this.#parts
    // What was released is freed now, in whatever small step.
    await sync.writeSuperblock()
    const from = retention.freedTo
    const held = commit.formed.position - from
    const needed = held + Math.max(commit.roomNeeded(0, 0), roomNeeded(geometryOf(ringBytes), 0, 0))
    if (needed > ringBytes) {
      const least = RING_OFFSET_BYTES + needed
      const why = `${held} bytes of it are still needed: the least size is ${least} bytes`
      throw this.#refusal('LOG_RESIZE_USED', why, undefined, { leastBytes: least })
    }
    this.#cap = from + ringBytes
    options.begun?.()
    const plan = shrinkTo(space.layout, from, ringBytes)
    const target = new RingSpace(this.#disk, space.ringOffset, plan.layout)
    let copied = from
    while (commit.written.position - copied > CATCH_UP_BYTES) {
      const end = commit.written.position
      await this.#move(plan, target, copied, end)
      copied = end
    }
    const ended = await this.#switch(ringBytes, options, async (tail, head) => {
      await this.#move(plan, target, copied, head)
      return piecesAt(plan.layout, tail, head - tail)
    })
    return this.#giveBack(space.ringOffset + ringBytes, ended.end, ended.unread)
  }

  /** Writes the superblock of the new size while nothing else is under way. `live`: where what is needed lies in it. */
  async #switch(
    ringBytes: number,
    options: ResizeOptions,
    live: (tail: LogPosition, head: LogPosition) => Promise<readonly RingPiece[]>,
  ): Promise<{ readonly end: number; readonly unread: Promise<void> }> {
    const { space, store, retention, commit, sync } = this.#parts
    const end = space.ringOffset + space.ringBytes
    let unread = Promise.resolve()
    this.#step('switching', 0, 0)
    const release = options.hold()
    try {
      await commit.whenIdle()
      await sync.exclusively(async () => {
        const tail = retention.tail.position
        const head = commit.formed.position
        const layout = layoutAround(await live(tail, head), tail, ringBytes)
        const isHeld = commit.gatheringCount === 0 && commit.formed.position === head
        assert(isHeld && commit.inFlight === null, 'nothing is appended while the log is resized')
        if (layout.pieces.length > RING_PIECES_MAX)
          throw this.#refusal('LOG_RESIZE_PIECES', `it would lie in ${layout.pieces.length} pieces`)
        assert(layout.ringBytes === ringBytes && isPossibleLayout(layout), 'the pieces are those of the ring')
        const superblock = { ...this.#parts.superblockNow(), ringBytes, layout }
        try {
          await store.write(superblock)
          await this.#disk.sync()
        } catch (error) {
          this.#parts.fail(error)
          throw error
        }
        unread = space.adopt(layout)
        this.#parts.adopt(superblock)
        await store.copy().catch((error: unknown) => this.#parts.fail(error))
      })
      // It is as small as it becomes: what is left to do lies behind its end, and is no reason for anybody to wait.
      this.#uncap()
    } finally {
      release()
    }
    return { end, unread }
  }

  /** Copies what moves, of the bytes from `from` up to `to`, and syncs it. */
  async #move({ moves }: Shrink, target: RingSpace, from: LogPosition, to: LogPosition): Promise<void> {
    const { space } = this.#parts
    const parts = moves
      .map(({ position, length }) => ({
        at: Math.max(position, from, this.#parts.retention.freedTo),
        end: Math.min(position + length, to),
      }))
      .filter(({ at, end }) => at < end)
    this.#step(
      'moving',
      0,
      parts.reduce((sum, { at, end }) => sum + end - at, 0),
    )
    for (const part of parts) {
      for (let { at } = part; at < part.end;) {
        const bytes = Buffer.allocUnsafe(Math.min(FILL_BYTES, part.end - at))
        this.#throwIfClosed()
        try {
          await space.read(bytes, at)
          this.#throwIfClosed()
          await target.write([bytes], bytes.length, at)
        } catch (error) {
          if (!(error instanceof DiskError)) throw error
          throw this.#refusal('LOG_RESIZE_SPACE', `what is needed of it cannot be moved: ${error.message}`, error)
        }
        await this.#sync()
        at += bytes.length
        this.#advance(bytes.length)
      }
    }
  }

  /** Zeros, so that nothing old can be taken for something new, and no later write needs space. */
  async #fill(from: number, to: number): Promise<void> {
    this.#step('filling', 0, Math.max(0, to - from))
    for (let at = from; at < to;) {
      const end = fillStepEnd(at, to)
      this.#throwIfClosed()
      await fillStep(this.#disk, at, end)
      // A sync each: those of the log, for which writers wait, must not have all of it to carry.
      await this.#sync()
      this.#advance(end - at)
      at = end
    }
  }

  async #refuseUsed(from: number, to: number): Promise<void> {
    const buffer = Buffer.alloc(Math.max(0, Math.min(FILL_BYTES, to - from)))
    for (let at = from; at < to; at += buffer.length) {
      const bytes = buffer.subarray(0, Math.min(buffer.length, to - at))
      this.#throwIfClosed()
      await this.#disk.read(bytes, at)
      if (!isZero(bytes)) throw this.#refusal('LOG_RESIZE_BEHIND', 'what lies behind the end of it is not all zero')
    }
  }

  /** What lay behind the new end reads as zeros, and a file ends there. Answers why not, or null. */
  async #giveBack(from: number, to: number, unread: Promise<void>): Promise<string | null> {
    await unread
    this.#step('giving-back', 0, to - from)
    try {
      for (let at = from; at < to;) {
        const length = Math.min(16 * FILL_BYTES, to - at)
        if (!this.#parts.isOpen()) return 'the log was closed'
        await this.#disk.discard(at, length)
        at += length
        this.#advance(length)
      }
      await this.#disk.measure()
      if (this.#disk.sizeBytes - to < BLOCK_BYTES && this.#parts.isOpen()) await this.#resizeDisk(from)
      return null
    } catch (error) {
      // The log has its new size; what is behind it is looked at again before it is ever used.
      return (error as Error).message
    }
  }

  async #resizeDisk(sizeBytes: number): Promise<void> {
    try {
      await this.#disk.resize(sizeBytes)
    } catch (error) {
      // It syncs, and a sync that failed may have been about bytes of the log.
      const harmless = error instanceof DiskError && error.code !== 'DISK_IO'
      if (!harmless) this.#parts.fail(error)
      throw error
    }
  }

  async #sync(): Promise<void> {
    this.#throwIfClosed()
    try {
      await this.#disk.sync()
    } catch (error) {
      this.#parts.fail(error)
      throw error
    }
  }

  #ringBytesFor(sizeBytes: number): number {
    const { startOffset = 0 } = this.#parts.options
    if (sizeBytes < LOG_BYTES_MIN || !Number.isSafeInteger(startOffset + sizeBytes))
      throw this.#refusal('LOG_TOO_SMALL', `a log has at least ${LOG_BYTES_MIN} bytes, not ${sizeBytes}`)
    return ringBytesOf(sizeBytes)
  }

  #throwIfClosed(): void {
    if (!this.#parts.isOpen()) throw new LogError('LOG_CLOSED', 'the log was closed while it was resized')
  }

  #step(step: ResizeStatus['step'], bytesDone: number, bytesTotal: number): void {
    assert(this.#status !== null, 'a resize is under way')
    this.#status = { ...this.#status, step, bytesDone, bytesTotal }
  }

  #advance(bytes: number): void {
    assert(this.#status !== null, 'a resize is under way')
    this.#step(this.#status.step, this.#status.bytesDone + bytes, this.#status.bytesTotal)
  }

  #refusal(code: LogError['code'], what: string, cause?: unknown, facts: LogFacts = {}): LogError {
    return new LogError(
      code,
      `the log on ${this.#disk.description} is not resized: ${what}`,
      facts,
      cause === undefined ? undefined : { cause },
    )
  }
}
