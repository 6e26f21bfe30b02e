/**
 * An export in memory, for tests, demonstrations and measurements.
 *
 * Answers every request before `submit` returns. Knows which of its 4-KiB blocks were never written or were trimmed, so
 * that block status has something to say. Loses everything with the process.
 */
import { NbdErrno, type Extent, type NbdExport, type NbdRequest } from './export.js'

const BLOCK_BYTES = 4096
const HOLE = 0
const DATA = 1
const ZERO = 2

export interface MemoryExportOptions {
  readonly name?: string
  readonly description?: string
  readonly sizeBytes: number
  readonly readOnly?: boolean
  readonly minimumBlockBytes?: number
  readonly canTrim?: boolean
  readonly canWriteZeroes?: boolean
  readonly canMultiConnection?: boolean
}

export class MemoryExport implements NbdExport {
  readonly name: string
  readonly description: string
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly minimumBlockBytes: number
  readonly preferredBlockBytes = BLOCK_BYTES
  readonly canTrim: boolean
  readonly canWriteZeroes: boolean
  readonly canMultiConnection: boolean
  /** The content; tests look into it. */
  readonly bytes: Buffer
  /** Of each block: HOLE, DATA or ZERO. */
  readonly #states: Uint8Array

  constructor(options: MemoryExportOptions) {
    this.name = options.name ?? ''
    this.description = options.description ?? ''
    this.sizeBytes = options.sizeBytes
    this.readOnly = options.readOnly ?? false
    this.minimumBlockBytes = options.minimumBlockBytes ?? 1
    this.canTrim = options.canTrim ?? true
    this.canWriteZeroes = options.canWriteZeroes ?? true
    this.canMultiConnection = options.canMultiConnection ?? true
    this.bytes = Buffer.alloc(options.sizeBytes)
    this.#states = new Uint8Array(Math.ceil(options.sizeBytes / BLOCK_BYTES))
  }

  submit(request: NbdRequest): void {
    const { offset, length } = request
    switch (request.operation) {
      case 'read':
        // A copy, because later writes must not change what is still to be sent.
        return request.completeRead([Buffer.from(this.bytes.subarray(offset, offset + length))])
      case 'write':
        if (request.payload === null) return request.complete(NbdErrno.EINVAL)
        request.payload.copy(this.bytes, offset)
        this.#states.fill(DATA, Math.floor(offset / BLOCK_BYTES), Math.ceil((offset + length) / BLOCK_BYTES))
        return request.complete(0)
      case 'trim':
      case 'write-zeroes':
        this.bytes.fill(0, offset, offset + length)
        this.#clear(offset, length, request.noHole ? ZERO : HOLE)
        return request.complete(0)
      case 'block-status':
        return request.completeStatus(this.#extents(offset, length))
      case 'flush':
      case 'cache':
        return request.complete(0)
    }
  }

  /** Blocks that lie wholly in the range, and the last one if it is cut short by the end of the export. */
  #clear(offset: number, length: number, state: number): void {
    const end = offset + length
    const last = end === this.sizeBytes ? this.#states.length : Math.floor(end / BLOCK_BYTES)
    const first = Math.ceil(offset / BLOCK_BYTES)
    if (first < last) this.#states.fill(state, first, last)
    if (state !== ZERO) return
    // Blocks at the edges keep their bytes outside the range, but space for them is wanted.
    for (const block of [Math.floor(offset / BLOCK_BYTES), Math.floor((end - 1) / BLOCK_BYTES)]) {
      if (this.#states[block] === HOLE) this.#states[block] = ZERO
    }
  }

  #extents(offset: number, length: number): Extent[] {
    const extents: Extent[] = []
    const end = offset + length
    let start = offset
    while (start < end) {
      const first = Math.floor(start / BLOCK_BYTES)
      const state = this.#states[first]
      let block = first + 1
      while (block * BLOCK_BYTES < end && this.#states[block] === state) block++
      const stop = Math.min(end, block * BLOCK_BYTES)
      extents.push({ length: stop - start, hole: state === HOLE, zero: state !== DATA })
      start = stop
    }
    return extents
  }
}
