/**
 * What the primary appended, in order, and what the devices hold at any point of it.
 *
 * Owns the frames. `at` is the truth that recovered images are compared with; `from` makes that truth with a fault in
 * it, for canaries. Knows nothing of how anything is recovered.
 */
import assert from 'node:assert/strict'
import type { Frame } from '@sitelink/protocol'
import { SparseBytes } from '@sitelink/storage/testing'
import { cloneImages, layOver, type Images } from './image.js'

export class WriteHistory {
  readonly #frames: Frame[] = []
  readonly #sizes: ReadonlyMap<number, number>
  #view: { readonly lsn: number; readonly images: Images }

  /** Devices of zeros, by device id. */
  constructor(sizes: ReadonlyMap<number, number>) {
    this.#sizes = sizes
    this.#view = this.#zeroes()
  }

  appended(frame: Frame): void {
    assert.equal(frame.lsn, this.#frames.length + 1, 'LSNs are dense, and the primary has one life')
    this.#frames.push(frame)
  }

  get lastLsn(): number {
    return this.#frames.length
  }

  /** The devices after the entry `lsn`. Cheap if LSNs rise from call to call. */
  at(lsn: number): Images {
    assert(lsn <= this.lastLsn, `there are only ${this.lastLsn} entries, not ${lsn}`)
    if (lsn < this.#view.lsn) this.#view = this.#zeroes()
    const images = cloneImages(this.#view.images)
    for (let at = this.#view.lsn; at < lsn; at++) layOver(images, this.#frames[at] as Frame)
    this.#view = { lsn, images: cloneImages(images) }
    return images
  }

  /** The devices after the entry `from`, and after what `change` makes of those from there up to `lsn`. */
  from(from: number, lsn: number, change: (frames: readonly Frame[]) => readonly Frame[]): Images {
    const images = this.at(from)
    for (const frame of change(this.#frames.slice(from, lsn))) layOver(images, frame)
    return images
  }

  #zeroes(): { lsn: number; images: Images } {
    const images = [...this.#sizes].map(([id, sizeBytes]) => [id, { sizeBytes, bytes: new SparseBytes() }] as const)
    return { lsn: 0, images: new Map(images) }
  }
}
