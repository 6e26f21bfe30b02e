/**
 * Disks on which the replacement or removal of a file waits until a test lets it go: what has to wait for it is seen to wait.
 *
 * Owns the gates; everything else is the simulated disks' own. What was let go happens at once and is durable.
 */
import type { Disk, DiskProvider, OpenOptions } from '@sitelink/storage'

export class HeldNames implements DiskProvider {
  readonly #inner: DiskProvider
  #part: string | null = null
  #waiting: (() => void)[] = []

  constructor(inner: DiskProvider) {
    this.#inner = inner
  }

  /** How many replacements and removals wait. */
  get waitingCount(): number {
    return this.#waiting.length
  }

  /** Replacements and removals of paths that contain `part` wait from here on. */
  hold(part: string): void {
    this.#part = part
  }

  /** All that wait go on, and nothing waits any more. */
  letGo(): void {
    this.#part = null
    for (const go of this.#waiting.splice(0)) go()
  }

  async replaceFile(path: string, content: Buffer): Promise<void> {
    await this.#pass(path)
    await this.#inner.replaceFile(path, content)
  }

  async removeFile(path: string): Promise<void> {
    await this.#pass(path)
    await this.#inner.removeFile(path)
  }

  open(path: string, options?: OpenOptions): Promise<Disk> {
    return this.#inner.open(path, options)
  }

  create(path: string, sizeBytes: number, options?: OpenOptions & { readonly preallocate?: boolean }): Promise<Disk> {
    return this.#inner.create(path, sizeBytes, options)
  }

  exists(path: string): Promise<'file' | 'block-device' | null> {
    return this.#inner.exists(path)
  }

  identify(path: string): Promise<string> {
    return this.#inner.identify(path)
  }

  readFile(path: string): Promise<Buffer | null> {
    return this.#inner.readFile(path)
  }

  async #pass(path: string): Promise<void> {
    if (this.#part !== null && path.includes(this.#part))
      await new Promise<void>((resolve) => void this.#waiting.push(resolve))
  }
}
