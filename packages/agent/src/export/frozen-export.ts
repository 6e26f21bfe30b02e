/**
 * A read-only NBD export of one device while the replica stands still.
 *
 * Reads go to the device directly, because nothing is applied while it is frozen. It answers every request exactly once;
 * what would change anything is refused. Invariant: the bytes in flight stay within their limit, whatever clients ask.
 */
import { NbdErrno, type Extent, type NbdExport, type NbdRequest } from '@sitelink/nbd'
import type { BlockDevice } from '@sitelink/storage'
import { EXPORT_READ_BYTES_MAX } from '../limits.js'

/** See the head of this file. */
export class FrozenExport implements NbdExport {
  readonly readOnly = true
  readonly minimumBlockBytes = 1
  readonly preferredBlockBytes = 4096
  readonly canTrim = false
  readonly canWriteZeroes = false
  readonly canMultiConnection = true
  readonly #device: BlockDevice
  readonly #waiting: NbdRequest[] = []
  #bytesUnderWay = 0
  #requestsUnderWay = 0
  #ended = false
  #onIdle: (() => void)[] = []
  clients = 0

  constructor(
    readonly name: string,
    readonly description: string,
    readonly sizeBytes: number,
    device: BlockDevice,
  ) {
    this.#device = device
  }

  submit(request: NbdRequest): void {
    if (this.#ended) return request.complete(NbdErrno.ESHUTDOWN)
    switch (request.operation) {
      case 'read':
        this.#waiting.push(request)
        return this.#pump()
      case 'flush':
      case 'cache':
        return request.complete(0)
      case 'block-status':
        return void this.#blockStatus(request)
      default:
        return request.complete(NbdErrno.EPERM)
    }
  }

  connected(): void {
    this.clients++
  }

  disconnected(): void {
    this.clients--
  }

  /** Nothing is read from now on; resolves when no read is under way. */
  async end(): Promise<void> {
    this.#ended = true
    for (const request of this.#waiting.splice(0)) request.complete(NbdErrno.ESHUTDOWN)
    if (this.#requestsUnderWay > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }

  #pump(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#requestsUnderWay > 0 && this.#bytesUnderWay + next.length > EXPORT_READ_BYTES_MAX) return
      this.#waiting.shift()
      void this.#read(next)
    }
  }

  async #read(request: NbdRequest): Promise<void> {
    this.#begin(request.length)
    try {
      const bytes = Buffer.allocUnsafe(request.length)
      await this.#device.read(bytes, request.offset)
      request.completeRead([bytes])
    } catch {
      request.complete(NbdErrno.EIO)
    }
    this.#done(request.length)
  }

  /** What the device cannot tell is data. */
  async #blockStatus(request: NbdRequest): Promise<void> {
    this.#begin(0)
    const { offset, length } = request
    let extents: readonly Extent[] = [{ length, hole: false, zero: false }]
    try {
      const found = await this.#device.disk.extents(offset, length)
      if (found !== null && found.length > 0)
        extents = found.map(({ length: bytes, hole }) => ({ length: bytes, hole, zero: hole }))
    } catch {
      // Data is always true.
    }
    request.completeStatus(extents)
    this.#done(0)
  }

  #begin(bytes: number): void {
    this.#requestsUnderWay++
    this.#bytesUnderWay += bytes
  }

  #done(bytes: number): void {
    this.#requestsUnderWay--
    this.#bytesUnderWay -= bytes
    if (!this.#ended) return this.#pump()
    if (this.#requestsUnderWay === 0) for (const resolve of this.#onIdle.splice(0)) resolve()
  }
}
