/**
 * A device of the group as the NBD server sees it: requests in, answers out, nothing kept.
 *
 * Owns the translation of NBD's commands into the group's write path, flush and reads. Requests that change something
 * go to the write path as they are; the request object itself waits in its queues.
 */
import { NbdErrno, type Extent, type NbdExport, type NbdRequest } from '@sitelink/nbd'
import type { WriteBack } from '@sitelink/storage'
import type { LocalDevice } from './local-device.js'
import type { RequestCounters } from './request-counters.js'
import type { WritePath, WriteRequest } from './write-path.js'

export interface ExportOwner {
  readonly writePath: WritePath
  readonly writeBack: WriteBack
  readonly counters: RequestCounters
  /** `refuse`: a suspended device keeps nothing waiting, it fails like the others. */
  admission(): 'run' | 'hold' | 'refuse'
  /** Counts a read that could not be served, and tells the operator. */
  readFailed(deviceId: number, offset: number, length: number, error: Error): void
}

/** Extents that one block-status answers at most. */
const EXTENTS_MAX = 1024

export class DeviceExport implements NbdExport {
  readonly #device: LocalDevice
  readonly #owner: ExportOwner
  /** Bounded by what the NBD server takes from its clients. */
  readonly #suspended: NbdRequest[] = []
  readonly readOnly = false
  readonly minimumBlockBytes = 1
  readonly preferredBlockBytes = 4096
  readonly canTrim = true
  readonly canWriteZeroes = true
  readonly canMultiConnection = true

  constructor(device: LocalDevice, owner: ExportOwner) {
    this.#device = device
    this.#owner = owner
  }

  get name(): string {
    return this.#device.config.name
  }

  get description(): string {
    return `Sitelink device ${this.#device.config.number}`
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes
  }

  connected(client: string): void {
    this.#device.clients.add(client)
  }

  disconnected(client: string): void {
    this.#device.clients.delete(client)
  }

  /** The device is not suspended any more, or nothing is admitted any more: what waited goes on, in order. */
  resume(): void {
    for (const request of this.#suspended.splice(0)) this.#take(request, true)
  }

  submit(request: NbdRequest): void {
    const device = this.#device
    if (
      device.suspended &&
      this.#owner.admission() !== 'refuse' &&
      request.operation !== 'read' &&
      request.operation !== 'block-status'
    ) {
      this.#suspended.push(request)
      return
    }
    this.#take(request, false)
  }

  #take(request: NbdRequest, waited: boolean): void {
    const device = this.#device
    switch (request.operation) {
      case 'write':
        device.writes += 1
        device.writtenBytes += request.length
        this.#change(request as WriteRequest, waited)
        return
      case 'trim':
      case 'write-zeroes':
        if (request.fastZero) request.complete(NbdErrno.ENOTSUP)
        else this.#change(request as WriteRequest, waited)
        return
      case 'flush':
        device.flushes += 1
        this.#owner.writePath.flush(request)
        return
      case 'read':
        device.reads += 1
        device.readBytes += request.length
        this.#read(request)
        return
      case 'cache':
        request.complete(0)
        return
      case 'block-status':
        this.#blockStatus(request)
        return
    }
  }

  #change(request: WriteRequest, waited: boolean): void {
    const { writePath, writeBack, counters } = this.#owner
    counters.changes += 1
    counters.intervalsPeak = Math.max(counters.intervalsPeak, writeBack.intervalCount)
    writePath.submit(this.#device.id, request)
    // What waits is behind whoever waits already: if anybody does now, this one does.
    if (waited || writePath.waitingCount > 0) counters.changesWaited += 1
  }

  #read(request: NbdRequest): void {
    const { id } = this.#device
    const { counters, writeBack } = this.#owner
    counters.reads += 1
    if (request.fillRead((into) => writeBack.readNow(id, request.offset, into))) {
      counters.readsAnswered += 1
      return
    }
    if (writeBack.covers(id, request.offset, request.length)) counters.readsOfPending += 1
    writeBack.read(id, request.offset, request.length).then(
      (pieces) => {
        counters.readsAnswered += 1
        request.completeRead(pieces)
      },
      (error: Error) => {
        this.#owner.readFailed(id, request.offset, request.length, error)
        request.complete(NbdErrno.EIO)
      },
    )
  }

  /** Data, unless overlay and device both prove otherwise. */
  #blockStatus(request: NbdRequest): void {
    const { offset, length } = request
    const plan = this.#owner.writeBack.plan(this.#device.id, offset, length)
    const disk = this.#device.device?.disk
    const extents = disk === undefined ? Promise.resolve(null) : disk.extents(offset, length)
    extents
      .catch(() => null)
      .then((found) => {
        const merged: Extent[] = []
        const add = (bytes: number, hole: boolean): void => {
          const last = merged.at(-1)
          if (last !== undefined && last.hole === hole)
            merged[merged.length - 1] = { length: last.length + bytes, hole, zero: hole }
          else merged.push({ length: bytes, hole, zero: hole })
        }
        let at = offset
        for (const piece of plan) {
          if (piece.from !== 'device' || found === null) add(piece.length, piece.from === 'zeroes')
          else addDevice(found, offset, at, piece.length, add)
          at += piece.length
        }
        request.completeStatus(merged.slice(0, EXTENTS_MAX))
      })
      .catch(() => request.complete(NbdErrno.EIO))
  }
}

/** Adds the runs of `found` (which begin at `base`) that lie within [at, at + length). */
function addDevice(
  found: readonly { readonly length: number; readonly hole: boolean }[],
  base: number,
  at: number,
  length: number,
  add: (bytes: number, hole: boolean) => void,
): void {
  const end = at + length
  let from = base
  for (const run of found) {
    const first = Math.max(from, at)
    const last = Math.min(from + run.length, end)
    if (last > first) add(last - first, run.hole)
    from += run.length
  }
  if (from < end) add(end - Math.max(from, at), false)
}
