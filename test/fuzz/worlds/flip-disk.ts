/**
 * A disk in one buffer that can be put back to what it was: opened, looked at and forgotten a hundred thousand times.
 *
 * Owns the pristine bytes, the bytes as they are, and which of them differ. It keeps no secrets and fails never: power
 * cuts and errors are the matter of `FaultDisk`. Reads are counted, so that a reader that goes round in circles is seen
 * without a clock.
 */
import { DiskError, type Disk, type DiskExtent, type DiskProvider } from '@sitelink/storage'
import { Finding } from '../engine/target.js'

export class FlipDisk implements Disk {
  readonly description = '/dev/flip'
  readonly sectorBytes = 512
  readonly canDiscard = false
  readonly #pristine: Buffer
  #bytes: Buffer
  #touched: [from: number, to: number][] = []
  #sizeBytes: number
  /** Bytes read since the last `restore`; more than this is a reader without an end. */
  readBytes = 0
  readBytesMax = Number.POSITIVE_INFINITY
  /** Writes since the last `restore`. */
  writes = 0

  constructor(image: Buffer) {
    this.#pristine = Buffer.from(image)
    this.#bytes = Buffer.from(image)
    this.#sizeBytes = image.length
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Everything is as it was at first. */
  restore(): void {
    if (this.#bytes.length !== this.#pristine.length) this.#bytes = Buffer.from(this.#pristine)
    for (const [from, to] of this.#touched) this.#pristine.copy(this.#bytes, from, from, to)
    this.#touched = []
    this.#sizeBytes = this.#pristine.length
    this.readBytes = 0
    this.writes = 0
  }

  /** Inverts a bit. */
  flip(at: number, bit: number): void {
    this.poke(Buffer.from([(this.#bytes[at] as number) ^ (1 << bit)]), at)
  }

  /** Changes bytes; what lies beyond the end is left out. */
  poke(bytes: Buffer, at: number): void {
    bytes.copy(this.#bytes, at)
    this.#touched.push([at, Math.min(this.#bytes.length, at + bytes.length)])
  }

  /** The bytes as they are; not to be changed. */
  peek(at = 0, length = this.#sizeBytes - at): Buffer {
    return this.#bytes.subarray(at, at + length)
  }

  pristine(at: number, length: number): Buffer {
    return this.#pristine.subarray(at, at + length)
  }

  /** As if the disk had this size. */
  cut(sizeBytes: number): void {
    this.#sizeBytes = Math.min(sizeBytes, this.#bytes.length)
  }

  async read(into: Buffer, offset: number): Promise<void> {
    this.readBytes += into.length
    if (this.readBytes > this.readBytesMax) throw new Finding(`more than ${this.readBytesMax} bytes were read`)
    this.#checkRange('read', offset, into.length)
    this.#bytes.copy(into, 0, offset, offset + into.length)
  }

  async write(chunks: readonly Buffer[], offset: number): Promise<void> {
    let at = offset
    this.writes++
    for (const chunk of chunks) {
      this.#checkRange('write', at, chunk.length)
      this.poke(chunk, at)
      at += chunk.length
    }
  }

  async sync(): Promise<void> {}

  async discard(offset: number, length: number): Promise<void> {
    await this.writeZeroes(offset, length)
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    await this.write([Buffer.alloc(length)], offset)
  }

  async extents(): Promise<readonly DiskExtent[] | null> {
    return null
  }

  async measure(): Promise<void> {}

  async resize(sizeBytes: number): Promise<void> {
    if (sizeBytes > this.#bytes.length)
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(sizeBytes - this.#bytes.length)])
    this.#sizeBytes = sizeBytes
  }

  async close(): Promise<void> {}

  #checkRange(what: string, offset: number, length: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > this.#sizeBytes)
      throw new DiskError('DISK_RANGE', this.description, `cannot ${what} ${length} bytes at ${offset} of`)
  }
}

/** A provider of this one disk, as a block device or a file. */
export function providerOf(disk: FlipDisk, kind: 'file' | 'block-device' = 'block-device'): DiskProvider {
  const none = (): never => {
    throw new Finding('it asks for its one disk only')
  }
  return {
    open: async () => disk,
    exists: async () => kind,
    create: none,
    identify: none,
    readFile: none,
    replaceFile: none,
    removeFile: none,
  }
}
