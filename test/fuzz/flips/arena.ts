/**
 * Memory for buffers that are forgotten together: a hundred thousand openings make as many megabytes of garbage.
 *
 * Owns the replaced `Buffer.alloc` and `allocUnsafe` between `enter` and `leave`, which cut buffers from one slab. What was
 * made inside is void at the next `enter`: judge before.
 */
const SLAB_BYTES = 24 * 1024 * 1024
/** Small ones stay with Node's own pool. */
const SMALL_BYTES = 16 * 1024

export class Arena {
  readonly #slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  readonly #alloc = Buffer.alloc
  readonly #allocUnsafe = Buffer.allocUnsafe
  #used = 0

  enter(): void {
    this.#used = 0
    Buffer.alloc = ((size: number, ...rest: []) => {
      const taken = rest.length === 0 ? this.#take(size) : null
      return taken === null ? this.#alloc(size, ...rest) : taken.fill(0)
    }) as typeof Buffer.alloc
    Buffer.allocUnsafe = ((size: number) => this.#take(size) ?? this.#allocUnsafe(size)) as typeof Buffer.allocUnsafe
  }

  leave(): void {
    Buffer.alloc = this.#alloc
    Buffer.allocUnsafe = this.#allocUnsafe
  }

  #take(size: number): Buffer | null {
    if (size < SMALL_BYTES || this.#used + size > SLAB_BYTES) return null
    const taken = this.#slab.subarray(this.#used, this.#used + size)
    this.#used += size
    return taken
  }
}
