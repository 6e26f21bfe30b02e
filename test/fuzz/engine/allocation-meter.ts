/**
 * Counts the bytes of the buffers that are made while a target is fed.
 *
 * Owns the replaced `Buffer.alloc`, `allocUnsafe`, `allocUnsafeSlow` and `concat` between `start` and `stop`. It sees what
 * was asked for, not what was used: a parser that takes memory for a length that it has not checked is seen even where
 * the operating system never gives a page of it. Strings and objects are not counted; the run's heap bounds them.
 */
const plain = {
  alloc: Buffer.alloc,
  allocUnsafe: Buffer.allocUnsafe,
  allocUnsafeSlow: Buffer.allocUnsafeSlow,
  concat: Buffer.concat,
}

export class AllocationMeter {
  /** Bytes asked for since `start`. */
  bytes = 0
  /** Largest single request. */
  largest = 0

  start(): void {
    this.bytes = 0
    this.largest = 0
    const note = (size: number): void => {
      this.bytes += size
      this.largest = Math.max(this.largest, size)
    }
    Buffer.alloc = ((size: number, ...rest: []) => {
      note(size)
      return plain.alloc(size, ...rest)
    }) as typeof Buffer.alloc
    Buffer.allocUnsafe = ((size: number) => {
      note(size)
      return plain.allocUnsafe(size)
    }) as typeof Buffer.allocUnsafe
    Buffer.allocUnsafeSlow = ((size: number) => {
      note(size)
      return plain.allocUnsafeSlow(size)
    }) as typeof Buffer.allocUnsafeSlow
    Buffer.concat = ((list: readonly Uint8Array[], total?: number) => {
      note(total ?? list.reduce((sum, one) => sum + one.length, 0))
      return total === undefined ? plain.concat(list) : plain.concat(list, total)
    }) as typeof Buffer.concat
  }

  stop(): void {
    Object.assign(Buffer, plain)
  }
}
