/**
 * Writes one part of a layer to its device: zeros first, then data, a few operations at once.
 *
 * Owns the budget of bytes on their way from the log. Never retries: the first error ends the attempt once what was under
 * way has ended, and the whole part is written again later. Payloads that are only in the log are read in windows of bounded
 * size, in the order of the log.
 */
import { assert, type LogPosition } from '@sitelink/protocol/entry'
import type { BlockDevice } from '../device/block-device.js'
import type { RingLog } from '../ring-log/contract.js'
import type { Interval } from './chunk-intervals.js'
import { planFlush, type WriteOperation } from './flush-plan.js'
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
  let zeroBytes = 0
  await eachOf(plan.zeroes, limits.writesInFlightMax, (operation) => {
    zeroBytes += operation.length
    return operation.discard && device.canDiscard
      ? device.discard(operation.offset, operation.length)
      : device.zero(operation.offset, operation.length)
  })
  let bytes = 0
  for (const { length } of plan.writes) bytes += length
  const fromMemory = plan.writes.filter((operation) => operation.logBytes === 0)
  await eachOf(fromMemory, limits.writesInFlightMax, (operation) =>
    writePieces(device, operation.pieces.map(bytesOf), operation),
  )
  if (fromMemory.length < plan.writes.length) {
    for (const window of logWindows(plan.writes, limits.logReadBytesMax)) {
      await writeFromLog(part.deviceId, window, device, tools)
    }
  }
  return { writes: plan.zeroes.length + plan.writes.length, bytes, zeroBytes }
}

/**
 * The operations that need the log, in runs of at most `bytesMax` bytes from there. They go through the log from front to
 * back, so that what a run reads lies close together; each is in the order of the device by itself.
 */
function logWindows(operations: readonly WriteOperation[], bytesMax: number): WriteOperation[][] {
  const windows: WriteOperation[][] = []
  let left = 0
  const placed = operations
    .filter(({ logBytes }) => logBytes > 0)
    .map((operation) => ({ operation, position: firstInLog(operation) }))
    .sort((a, b) => a.position - b.position)
  for (const { operation } of placed) {
    if (operation.logBytes > left) {
      windows.push([])
      left = bytesMax
    }
    left -= operation.logBytes
    windows.at(-1)?.push(operation)
  }
  for (const window of windows) window.sort((a, b) => a.offset - b.offset)
  return windows
}

/** Position of the first entry in the log whose payload the operation needs from there. */
function firstInLog({ pieces }: WriteOperation): LogPosition {
  let first = Number.POSITIVE_INFINITY
  for (const { bytes, position } of pieces) if (bytes === null) first = Math.min(first, position)
  return first
}

/** A piece whose bytes only the log has, and where it goes on the device. */
interface Wanted {
  readonly piece: Interval
  readonly offset: number
}

/** Reads what a window needs in the order of the log, which a disk reads ahead, then writes it in the order of the device. */
async function writeFromLog(
  deviceId: number,
  operations: readonly WriteOperation[],
  device: BlockDevice,
  tools: PartWriteTools,
): Promise<void> {
  const { budget, log, limits } = tools
  const wanted: Wanted[] = []
  let logBytes = 0
  for (const operation of operations) {
    let { offset } = operation
    logBytes += operation.logBytes
    for (const piece of operation.pieces) {
      if (piece.bytes === null) wanted.push({ piece, offset })
      offset += piece.end - piece.start
    }
  }
  wanted.sort((a, b) => a.piece.position - b.piece.position)
  await budget.take(logBytes)
  try {
    const loaded = new Map<Interval, Buffer>()
    const payloads = await log.readPayloads(
      wanted.map(({ piece }) => ({ position: piece.position, payloadBytes: piece.end - piece.base })),
    )
    const missing = wanted.filter(({ piece: { start, end, base } }, at) => {
      const payload = payloads[at] ?? null
      if (payload === null || end - base > payload.length) return true
      loaded.set((wanted[at] as Wanted).piece, payload.subarray(start - base, end - base))
      return false
    })
    await eachOf(missing, LOG_READS_AT_ONCE, async ({ piece, offset }) => {
      const length = piece.end - piece.start
      try {
        loaded.set(piece, await log.readPayload(piece.position, piece.start - piece.base, length))
      } catch (error) {
        throw new LogReadFailure(deviceId, piece.position, offset, length, error)
      }
    })
    await eachOf(operations, limits.writesInFlightMax, (operation) =>
      writePieces(
        device,
        operation.pieces.map((piece) => loaded.get(piece) ?? bytesOf(piece)),
        operation,
      ),
    )
  } finally {
    budget.release(logBytes)
  }
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

/** Runs `work` for each item, at most `atOnce` at a time. After an error nothing new begins; it rejects when all has ended. */
async function eachOf<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void> | null): Promise<void> {
  if (items.length === 0) return
  let next = 0
  let failed = false
  let failure: unknown = null
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      try {
        const working = work(items[next++] as T)
        if (working !== null) await working
      } catch (error) {
        if (!failed) failure = error
        failed = true
      }
    }
  }
  const workers: Promise<void>[] = []
  for (let i = Math.min(atOnce, items.length); i > 0; i--) workers.push(worker())
  await Promise.all(workers)
  if (failed) throw failure
}

function bytesOf(piece: Interval): Buffer {
  const bytes = piece.bytes as Buffer
  const from = piece.start - piece.base
  const to = piece.end - piece.base
  return from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to)
}
