/**
 * Writes one part of a layer to its device: zeros first, then data, a few operations at once.
 *
 * Owns the budget of bytes on their way from the log. Never retries: the first error ends the attempt once what was under
 * way has ended, and the whole part is written again later. Payloads that are only in the log are read in windows of bounded
 * size, in the order of the log.
 *
 * What is done for each item is a function of the module, given what it needs, never a closure of its part: V8 forgets the
 * compiled code of a function when it collects everything while no closure of it lives, about once a second under load.
 */
import { assert, type LogPosition } from '@sitelink/protocol/entry'
import type { BlockDevice } from '../device/block-device.js'
import type { PayloadPlace, RingLog } from '../ring-log/contract.js'
import type { Interval } from './chunk-intervals.js'
import { planFlush, type WriteOperation, type ZeroOperation } from './flush-plan.js'
import type { Part } from './layer.js'
import type { WriteBackLimits } from './limits.js'

/** A payload that the log could not give back. */
export class LogReadFailure extends Error {
  override readonly name = 'LogReadFailure'
  constructor(
    readonly deviceId: number,
    /** Position of the entry. */
    readonly position: LogPosition,
    /** The range on the device. */
    readonly offset: number,
    readonly length: number,
    cause: unknown,
  ) {
    super(`cannot read the payload of the entry at log position ${position}`, { cause })
  }
}

/** What one attempt did. */
export interface PartWriteTotals {
  readonly writes: number
  readonly bytes: number
  readonly zeroBytes: number
}

/** Bytes that may be on their way from the log at once. First come, first served. */
export class ByteBudget {
  #free: number
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = []

  constructor(readonly totalBytes: number) {
    this.#free = totalBytes
  }

  /** Resolves when the bytes may be used; they are given back with {@link release}. */
  async take(bytes: number): Promise<void> {
    assert(bytes <= this.totalBytes, 'nobody asks for more than the whole budget')
    if (this.#waiting.length === 0 && bytes <= this.#free) {
      this.#free -= bytes
      return
    }
    await new Promise<void>((go) => this.#waiting.push({ bytes, go }))
  }

  release(bytes: number): void {
    this.#free += bytes
    for (let first = this.#waiting[0]; first !== undefined && first.bytes <= this.#free; first = this.#waiting[0]) {
      this.#waiting.shift()
      this.#free -= first.bytes
      first.go()
    }
  }
}

export interface PartWriteTools {
  readonly log: Pick<RingLog, 'readPayload' | 'readPayloads'>
  readonly budget: ByteBudget
  readonly limits: WriteBackLimits
}

/** Payloads that one device reads from the log at once: enough to keep a disk's queue busy. */
const LOG_READS_AT_ONCE = 16

/** Writes the whole part. Rejects with the device's error or a {@link LogReadFailure}; nothing is under way then. */
export async function writePart(part: Part, device: BlockDevice, tools: PartWriteTools): Promise<PartWriteTotals> {
  const { limits } = tools
  const plan = planFlush(part, limits.writeBytesMax, limits.writePiecesMax)
  await eachOf(plan.zeroes, limits.writesInFlightMax, makeZero, device)
  const fromMemory = plan.writes.filter(isInMemory)
  await eachOf(fromMemory, limits.writesInFlightMax, writeFromMemory, device)
  if (fromMemory.length < plan.writes.length) {
    for (const window of logWindows(plan.writes, limits.logReadBytesMax)) {
      await writeFromLog(part.deviceId, window, device, tools)
    }
  }
  return {
    writes: plan.zeroes.length + plan.writes.length,
    bytes: lengthOf(plan.writes),
    zeroBytes: lengthOf(plan.zeroes),
  }
}

function isInMemory({ logBytes }: WriteOperation): boolean {
  return logBytes === 0
}

function lengthOf(operations: readonly { readonly length: number }[]): number {
  let sum = 0
  for (const { length } of operations) sum += length
  return sum
}

function makeZero(device: BlockDevice, { offset, length, discard }: ZeroOperation): Promise<void> {
  return discard && device.canDiscard ? device.discard(offset, length) : device.zero(offset, length)
}

function writeFromMemory(device: BlockDevice, operation: WriteOperation): Promise<void> | null {
  return writePieces(device, operation.pieces.map(bytesOf), operation)
}

/**
 * The operations that need the log, in runs of at most `bytesMax` bytes from there. They go through the log from front to
 * back, so that what a run reads lies close together; each is in the order of the device by itself.
 */
function logWindows(operations: readonly WriteOperation[], bytesMax: number): WriteOperation[][] {
  const windows: WriteOperation[][] = []
  let left = 0
  const placed: { operation: WriteOperation; position: LogPosition }[] = []
  for (const operation of operations)
    if (!isInMemory(operation)) placed.push({ operation, position: firstInLog(operation) })
  placed.sort(byPosition)
  for (const { operation } of placed) {
    if (operation.logBytes > left) {
      windows.push([])
      left = bytesMax
    }
    left -= operation.logBytes
    windows.at(-1)?.push(operation)
  }
  for (const window of windows) window.sort(byOffset)
  return windows
}

function byPosition(a: { readonly position: LogPosition }, b: { readonly position: LogPosition }): number {
  return a.position - b.position
}

function byOffset(a: WriteOperation, b: WriteOperation): number {
  return a.offset - b.offset
}

/** Position of the first entry in the log whose payload the operation needs from there. */
function firstInLog({ pieces }: WriteOperation): LogPosition {
  let first = Number.POSITIVE_INFINITY
  for (const { bytes, position } of pieces) if (bytes === null) first = Math.min(first, position)
  return first
}

/** A piece whose bytes only the log has, and where it goes on the device: what is asked of the log for it. */
interface Wanted extends PayloadPlace {
  readonly piece: Interval
  readonly offset: number
}

/** What the operations of a window share. */
interface Window extends PartWriteTools {
  readonly deviceId: number
  readonly device: BlockDevice
  /** What came from the log. */
  readonly loaded: Map<Interval, Buffer>
}

/** Reads what a window needs in the order of the log, which a disk reads ahead, then writes it in the order of the device. */
async function writeFromLog(
  deviceId: number,
  operations: readonly WriteOperation[],
  device: BlockDevice,
  tools: PartWriteTools,
): Promise<void> {
  const { budget, log, limits } = tools
  const loaded = new Map<Interval, Buffer>()
  const window: Window = { ...tools, deviceId, device, loaded }
  const wanted: Wanted[] = []
  let logBytes = 0
  for (const operation of operations) {
    let { offset } = operation
    logBytes += operation.logBytes
    for (const piece of operation.pieces) {
      if (piece.bytes === null)
        wanted.push({ position: piece.position, payloadBytes: piece.end - piece.base, piece, offset })
      offset += piece.end - piece.start
    }
  }
  wanted.sort(byPosition)
  await budget.take(logBytes)
  try {
    const payloads = await log.readPayloads(wanted)
    const missing: Wanted[] = []
    for (let at = 0; at < wanted.length; at++) {
      const one = wanted[at] as Wanted
      const { start, end, base } = one.piece
      const payload = payloads[at] ?? null
      if (payload === null || end - base > payload.length) missing.push(one)
      else loaded.set(one.piece, payload.subarray(start - base, end - base))
    }
    await eachOf(missing, LOG_READS_AT_ONCE, readAlone, window)
    await eachOf(operations, limits.writesInFlightMax, writeLoaded, window)
  } finally {
    budget.release(logBytes)
  }
}

async function readAlone({ log, loaded, deviceId }: Window, { piece, offset }: Wanted): Promise<void> {
  const length = piece.end - piece.start
  try {
    loaded.set(piece, await log.readPayload(piece.position, piece.start - piece.base, length))
  } catch (error) {
    throw new LogReadFailure(deviceId, piece.position, offset, length, error)
  }
}

function writeLoaded({ loaded, device }: Window, operation: WriteOperation): Promise<void> | null {
  const chunks: Buffer[] = []
  for (const piece of operation.pieces) chunks.push(loaded.get(piece) ?? bytesOf(piece))
  return writePieces(device, chunks, operation)
}

/** Null if it was done in this very call: most writes are small and random, and a promise for each costs as much again. */
function writePieces(
  device: BlockDevice,
  chunks: readonly Buffer[],
  { offset, length }: WriteOperation,
): Promise<void> | null {
  let bytes = 0
  for (const chunk of chunks) bytes += chunk.length
  assert(bytes === length, 'what a part holds is there until it is written')
  return device.writeNow?.(chunks, offset) === true ? null : device.write(chunks, offset)
}

/** The work on a list of items: where it stands. */
interface Run<T, C> {
  readonly items: readonly T[]
  readonly work: Work<T, C>
  readonly context: C
  next: number
  failed: boolean
  failure: unknown
}

/** Null if it was done in the very call. */
type Work<T, C> = (context: C, item: T) => Promise<void> | null

/** Runs `work` for each item, at most `atOnce` at a time. After an error nothing new begins; it rejects when all has ended. */
async function eachOf<T, C>(items: readonly T[], atOnce: number, work: Work<T, C>, context: C): Promise<void> {
  const run: Run<T, C> = { items, work, context, next: 0, failed: false, failure: null }
  const workers: Promise<void>[] = []
  // Where everything is done in the very call, the first one does it all.
  while (run.next < items.length && workers.length < atOnce && !run.failed) workers.push(worker(run))
  await Promise.all(workers)
  if (run.failed) throw run.failure
}

async function worker<T, C>(run: Run<T, C>): Promise<void> {
  const { items, work, context } = run
  while (run.next < items.length && !run.failed) {
    try {
      const working = work(context, items[run.next++] as T)
      if (working !== null) await working
    } catch (error) {
      if (!run.failed) run.failure = error
      run.failed = true
    }
  }
}

function bytesOf(piece: Interval): Buffer {
  const bytes = piece.bytes as Buffer
  const from = piece.start - piece.base
  const to = piece.end - piece.base
  return from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to)
}
