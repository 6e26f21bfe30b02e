/**
 * Reads a range of a device through the layers.
 *
 * Owns no state. The plan, the device reads, the lease on the log and the log reads all happen in the turn of the call.
 * Why a read is right although layers are written and dropped while its device reads are under way: a block that the plan
 * left to the device was held by no layer, so everything noted before lies on the device. The device's bytes of it
 * change only by parts written later, each of which is newer than all before it; such bytes were noted while the read was
 * under way and it may show them or not. One thing can take a block back to older bytes: a failed sync, after which the
 * system may drop what it could not write, and parts are written again from the oldest on. The lane's generation tells;
 * the read is then planned anew. Memory pieces keep their payload alive by themselves; log pieces by the lease.
 */
import type { LogPosition } from '@sitelink/protocol/entry'
import type { RingLog } from '../ring-log/contract.js'
import type { ReadPiece } from './contract.js'
import type { DeviceLane } from './lane.js'
import { ZERO_BUFFER_BYTES } from './limits.js'

/** Why a range could not be read. */
export type ReadFailureReason =
  /** Its acknowledged bytes are lost (log corruption), until they are overwritten. */
  | 'lost'
  /** The device answered with an error. */
  | 'device'
  /** The log answered with an error. */
  | 'log'
  /** No device is attached under this id. */
  | 'detached'

/** A read that failed: EIO for whoever asked. */
export class WriteBackReadError extends Error {
  override readonly name = 'WriteBackReadError'
  readonly code = 'EIO'

  constructor(
    readonly reason: ReadFailureReason,
    readonly deviceId: number,
    /** The range that was asked for, in bytes. */
    readonly offset: number,
    readonly length: number,
    cause?: unknown,
  ) {
    super(
      `cannot read ${length} bytes at ${offset} of device ${deviceId}: ${REASON_TEXT[reason]}`,
      cause === undefined ? undefined : { cause },
    )
  }
}

const REASON_TEXT: Readonly<Record<ReadFailureReason, string>> = {
  lost: 'they were lost by a damaged log and have not been written since',
  device: 'the device failed',
  log: 'the log that still holds them failed',
  detached: 'no such device is attached',
}

/** Why a range could not be read, without which range it was: for a report that names ranges itself. */
export function whyUnreadable(error: unknown): string {
  if (error instanceof WriteBackReadError) return REASON_TEXT[error.reason]
  return error instanceof Error ? error.message : String(error)
}

/** What a read needs to know. */
export interface ReadSource {
  readonly log: Pick<RingLog, 'lease' | 'readPayload'>
  plan(deviceId: number, offset: number, length: number): readonly ReadPiece[]
  lane(deviceId: number): DeviceLane | null
}

const ZEROES = Buffer.alloc(ZERO_BUFFER_BYTES)

/** See {@link WriteBack.read}. `room`: what the device holds is read to its place in there. */
export async function readRange(
  source: ReadSource,
  deviceId: number,
  offset: number,
  length: number,
  room: Buffer | null = null,
): Promise<readonly Buffer[]> {
  for (;;) {
    const lane = source.lane(deviceId)
    const generation = lane === null ? 0 : lane.generation
    const fetch = new Fetch(source, lane, deviceId, offset, length, room)
    if (fetch.pending.length === 0) return fetch.buffers
    const error = await fetch.end()
    if (fetch.usesDevice && lane !== null && lane.generation !== generation) continue
    if (error !== null) throw error
    return fetch.buffers
  }
}

/** See {@link WriteBack.readInto}. */
export async function readRangeInto(source: ReadSource, deviceId: number, offset: number, into: Buffer): Promise<void> {
  let at = 0
  for (const piece of await readRange(source, deviceId, offset, into.length, into)) {
    if (piece.buffer !== into.buffer) piece.copy(into, at)
    at += piece.length
  }
}

/** One attempt: everything is issued by the constructor. */
class Fetch {
  readonly buffers: Buffer[] = []
  readonly pending: Promise<void>[] = []
  usesDevice = false
  #error: WriteBackReadError | null = null

  constructor(
    source: ReadSource,
    lane: DeviceLane | null,
    deviceId: number,
    offset: number,
    length: number,
    room: Buffer | null,
  ) {
    const failure = (reason: ReadFailureReason, cause?: unknown): WriteBackReadError =>
      new WriteBackReadError(reason, deviceId, offset, length, cause)
    const pieces = source.plan(deviceId, offset, length)
    let lowest: LogPosition = Number.POSITIVE_INFINITY
    for (const piece of pieces) {
      if (piece.from === 'lost') throw failure('lost')
      if (piece.from === 'device' && lane === null) throw failure('detached')
      if (piece.from === 'log') lowest = Math.min(lowest, piece.position)
    }
    const lease = lowest === Number.POSITIVE_INFINITY ? null : source.log.lease(lowest)
    const logReads: Promise<void>[] = []
    for (const piece of pieces) {
      switch (piece.from) {
        case 'memory':
          this.buffers.push(piece.bytes)
          break
        case 'zeroes':
          for (let left = piece.length; left > 0; left -= ZERO_BUFFER_BYTES) {
            this.buffers.push(left >= ZERO_BUFFER_BYTES ? ZEROES : ZEROES.subarray(0, left))
          }
          break
        case 'log': {
          const at = this.buffers.push(ZEROES) - 1
          const read = source.log.readPayload(piece.position, piece.payloadOffset, piece.length)
          logReads.push(
            read.then(
              (bytes) => void (this.buffers[at] = bytes),
              (cause: unknown) => this.#fail(failure('log', cause)),
            ),
          )
          break
        }
        case 'device': {
          this.usesDevice = true
          const at = piece.offset - offset
          const into = room === null ? Buffer.allocUnsafe(piece.length) : room.subarray(at, at + piece.length)
          this.buffers.push(into)
          const read = (lane as DeviceLane).device.read(into, piece.offset)
          this.pending.push(read.then(undefined, (cause: unknown) => this.#fail(failure('device', cause))))
          break
        }
        case 'lost':
          break
      }
    }
    if (lease !== null) this.pending.push(Promise.all(logReads).then(() => lease.release()))
  }

  /** Resolves when nothing is under way any more, with the first error or null. */
  async end(): Promise<WriteBackReadError | null> {
    await Promise.all(this.pending)
    return this.#error
  }

  #fail(error: WriteBackReadError): void {
    this.#error ??= error
  }
}
