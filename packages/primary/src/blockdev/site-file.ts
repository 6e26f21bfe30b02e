/**
 * The file of a blockdev site: two slots of which one is written at a time, each write durable before the next.
 *
 * Owns the file while the site is open. Invariant: a torn write leaves the other slot, which is the record before; a file
 * in which neither slot checks is that of a site of which nothing is known.
 */
import type { Random } from '@sitelink/protocol'
import type { Disk, DiskProvider } from '@sitelink/storage'
import { decodeRecord, encodeRecord, freshRecord, SLOT_BYTES, type SiteRecord } from './site-record.js'

export class SiteFile {
  readonly #disk: Disk
  #current: SiteRecord

  private constructor(disk: Disk, current: SiteRecord) {
    this.#disk = disk
    this.#current = current
  }

  /** Opens the file, or makes it. Rejects with a disk error; `lost` where a file was there and said nothing. */
  static async open(
    disks: DiskProvider,
    path: string,
    random: Random,
  ): Promise<{ readonly file: SiteFile; readonly lost: boolean }> {
    const there = (await disks.exists(path)) !== null
    const disk = there
      ? await disks.open(path, { exclusive: true })
      : await disks.create(path, 2 * SLOT_BYTES, { preallocate: true, exclusive: true })
    try {
      const found = there && disk.sizeBytes >= 2 * SLOT_BYTES ? await newest(disk) : null
      if (disk.sizeBytes < 2 * SLOT_BYTES) await disk.resize(2 * SLOT_BYTES)
      const file = new SiteFile(disk, found ?? freshRecord(random.bytes(8).toString('hex')))
      if (found === null) await file.update({})
      return { file, lost: there && found === null }
    } catch (error) {
      await disk.close()
      throw error
    }
  }

  /** What the last durable write holds. */
  get current(): SiteRecord {
    return this.#current
  }

  /** Durable on return. Rejects if it could not be stored: then the record before still counts. One at a time. */
  async update(change: Partial<Omit<SiteRecord, 'sequence' | 'site'>>): Promise<void> {
    const next = { ...this.#current, ...change, sequence: this.#current.sequence + 1 }
    await this.#disk.write([encodeRecord(next)], (next.sequence % 2) * SLOT_BYTES)
    await this.#disk.sync()
    this.#current = next
  }

  async close(): Promise<void> {
    await this.#disk.close()
  }
}

async function newest(disk: Disk): Promise<SiteRecord | null> {
  const slots = Buffer.alloc(2 * SLOT_BYTES)
  await disk.read(slots, 0)
  const [first, second] = [0, SLOT_BYTES].map((at) => decodeRecord(slots.subarray(at, at + SLOT_BYTES)))
  if (first === null || first === undefined) return second ?? null
  if (second === null || second === undefined) return first
  return first.sequence > second.sequence ? first : second
}
