/**
 * The system calls that Node does not offer: flock, fallocate, lseek with SEEK_DATA and SEEK_HOLE, BLKGETSIZE64, preadv2, madvise.
 *
 * Owns the optional package `koffi` and the knowledge of how the C library is called. Loaded once, on first use, and
 * never needed: whoever gets null does without, and {@link ffiProblem} says what is then missing. Calls that may wait
 * for a medium run on a worker thread, a bounded number at a time, with the errno of their own thread.
 */
import { createRequire } from 'node:module'
import { getSystemErrorName } from 'node:util'

/** A system call that failed; `code` is the errno's name, as in errors of node:fs. */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError'
  readonly code: string

  constructor(
    readonly syscall: string,
    readonly errno: number,
  ) {
    const code = errnoName(errno)
    super(`${syscall}: ${code}`)
    this.code = code
  }
}

/** The calls. All but `readCached` reject or throw {@link SystemCallError}; offsets and lengths are bytes below 2^53. */
export interface Ffi {
  /** Takes an exclusive flock without waiting; false if somebody else holds one. Released when `fd` is closed. */
  tryLock(fd: number): boolean
  /** Gives the space of a range back; it then reads as zeros. EOPNOTSUPP where that cannot be promised. */
  punchHole(fd: number, offset: number, length: number): Promise<void>
  /** Makes a range read as zeros and keeps its space. EOPNOTSUPP where there is no faster way than writing. */
  zeroRange(fd: number, offset: number, length: number): Promise<void>
  /** Reserves the space of a range, so that ENOSPC comes now. */
  reserve(fd: number, offset: number, length: number): Promise<void>
  /** The first byte of data at or behind `offset`; null if there is none up to the end. */
  seekData(fd: number, offset: number): Promise<number | null>
  /** The first byte of a hole at or behind `offset`; the end of the file counts as one. Null beyond the end. */
  seekHole(fd: number, offset: number): Promise<number | null>
  /**
   * Reads into `into` in the calling thread, and only what needs no wait for a medium. Answers how many bytes that were,
   * fewer where the page cache or the file ends, or less than 0: the errno, negated; EAGAIN where nothing was at hand.
   * Null where the C library does not have it.
   */
  readonly readCached: ((fd: number, into: Buffer, offset: number) => number) | null
  /** Lets the page cache forget what of a file is on stable storage. Null where the C library does not have it. */
  readonly uncache: ((fd: number) => Promise<void>) | null
  /**
   * Splits the piece of the page cache that holds the page at `offset` (a multiple of the page size) into pages, in the
   * calling thread, if it is a piece, clean, and nobody else uses it now. Content stays. False: that page is not in the
   * cache; it is then not asked for. Never fails. Null where the C library does not have what it takes.
   */
  readonly splitPiece: ((fd: number, offset: number) => boolean) | null
  /** Where the bytes of a buffer lie: they stay there as long as it lives. */
  addressOf(buffer: Buffer): bigint
  /** Size of a block device. */
  blockDeviceBytes(fd: number): Promise<number>
}

type Call = ((...args: unknown[]) => number) & { async: (...args: unknown[]) => void }
interface Koffi {
  load(path: string | null): { func(definition: string): Call }
  errno(value?: number): number
  address(buffer: Buffer): bigint
}

const LOCK_EX_NB = 2 | 4
const KEEP_SIZE = 1
const PUNCH_HOLE = 2
const ZERO_RANGE = 16
const SEEK_DATA = 3
const SEEK_HOLE = 4
const BLKGETSIZE64 = 0x8008_1272
const RWF_NOWAIT = 8
const FADV_DONTNEED = 4
const PROT_READ = 1
const MAP_SHARED = 1
const MADV_COLD = 20
const MADV_POPULATE_READ = 22
/** Enough to name a page, of whatever size. */
const PAGE_PART_BYTES = 4096
const EAGAIN = 11
const ENXIO = 6
const EBADF = 9
/** Below the package's own limit of asynchronous calls, and enough to keep every worker thread busy. */
const CALLS_MAX = 16

let loaded: { readonly ffi: Ffi | null; readonly problem: string | null } | undefined

/** The system calls, or null where the package or the C library cannot be used. */
export function systemCalls(): Ffi | null {
  loaded ??= load()
  return loaded.ffi
}

/** What cannot be used, why, and what is missing without it, in one sentence; null if all is well. */
export function ffiProblem(): string | null {
  loaded ??= load()
  return loaded.problem
}

function load(): { ffi: Ffi | null; problem: string | null } {
  try {
    if (process.platform !== 'linux') throw new Error(`it is used on Linux only, this is ${process.platform}`)
    const koffi = createRequire(import.meta.url)('koffi') as Koffi
    const ffi = bind(koffi)
    selfTest(ffi)
    return { ffi, problem: null }
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    const missing =
      'discarded space is not given back, holes are not seen, files are locked by a socket name instead of flock, and reads and small writes are slower'
    return { ffi: null, problem: `the optional package koffi cannot be used (${why}); without it ${missing}` }
  }
}

/** Wrong answers would be worse than none: errno must come through. */
function selfTest(ffi: Ffi): void {
  try {
    ffi.tryLock(-1)
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === EBADF) return
    throw error
  }
  throw new Error('flock of no file did not fail')
}

function bind(koffi: Koffi): Ffi {
  // The process itself has the C library loaded, glibc or musl, whatever its file is called.
  const library = koffi.load(null)
  const find = (...definitions: string[]): Call => {
    let last: unknown
    for (const definition of definitions) {
      try {
        return library.func(definition)
      } catch (error) {
        last = error
      }
    }
    throw last
  }
  const flock = find('int flock(int fd, int operation)')
  const fallocate = find(
    'int fallocate64(int fd, int mode, int64_t offset, int64_t length)',
    'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
  )
  const lseek = find(
    'int64_t lseek64(int fd, int64_t offset, int whence)',
    'int64_t lseek(int fd, int64_t offset, int whence)',
  )
  const ioctl = find('int ioctl(int fd, unsigned long request, void *argument)')
  const queue = new CallQueue(koffi)
  const readCached = bindReadCached(koffi, find)

  const seek = async (fd: number, offset: number, whence: number): Promise<number | null> => {
    try {
      return Number(await queue.call('lseek', lseek, [fd, offset, whence]))
    } catch (error) {
      if (error instanceof SystemCallError && error.errno === ENXIO) return null
      throw error
    }
  }
  const allocate = async (fd: number, mode: number, offset: number, length: number): Promise<void> => {
    await queue.call('fallocate', fallocate, [fd, mode, offset, length])
  }
  return {
    tryLock: (fd) => {
      if (flock(fd, LOCK_EX_NB) === 0) return true
      const errno = koffi.errno()
      if (errno === EAGAIN) return false
      throw new SystemCallError('flock', errno)
    },
    punchHole: (fd, offset, length) => allocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length),
    zeroRange: (fd, offset, length) => allocate(fd, ZERO_RANGE | KEEP_SIZE, offset, length),
    reserve: (fd, offset, length) => allocate(fd, 0, offset, length),
    readCached,
    uncache: bindUncache(find, queue),
    splitPiece: readCached === null ? null : bindSplitPiece(find, readCached),
    addressOf: (buffer) => koffi.address(buffer),
    seekData: (fd, offset) => seek(fd, offset, SEEK_DATA),
    seekHole: (fd, offset) => seek(fd, offset, SEEK_HOLE),
    blockDeviceBytes: async (fd) => {
      const size = Buffer.alloc(8)
      await queue.call('ioctl', ioctl, [fd, BLKGETSIZE64, size])
      return Number(new BigUint64Array(size.buffer, size.byteOffset, 1)[0])
    },
  }
}

/** The address of a buffer's memory stays what it is: nothing moves it, and the caller keeps it alive over the call. */
function bindReadCached(koffi: Koffi, find: (...definitions: string[]) => Call): Ffi['readCached'] {
  let preadv: Call
  try {
    preadv = find(
      'int64_t preadv64v2(int fd, uintptr_t vector, int count, int64_t offset, int flags)',
      'int64_t preadv2(int fd, uintptr_t vector, int count, int64_t offset, int flags)',
    )
  } catch {
    return null
  }
  // One iovec: address and length, a word each.
  const vector = Buffer.allocUnsafeSlow(16)
  const words = new BigUint64Array(vector.buffer, 0, 2)
  const vectorAddress = koffi.address(vector)
  return (fd, into, offset) => {
    words[0] = koffi.address(into)
    words[1] = BigInt(into.length)
    const got = Number(preadv(fd, vectorAddress, 1, offset, RWF_NOWAIT))
    return got < 0 ? -koffi.errno() : got
  }
}

function bindUncache(find: (...definitions: string[]) => Call, queue: CallQueue): Ffi['uncache'] {
  try {
    const advise = find(
      'int posix_fadvise64(int fd, int64_t offset, int64_t length, int advice)',
      'int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)',
    )
    return async (fd) => void (await queue.call('posix_fadvise', advise, [fd, 0, 0, FADV_DONTNEED]))
  } catch {
    return null
  }
}

/**
 * The kernel splits a piece when part of what a process has mapped of it is said to be cold: one page is mapped for as
 * long as that takes. Nothing is read through the mapping, so that a file that gets shorter or a medium that fails does no harm.
 */
function bindSplitPiece(
  find: (...definitions: string[]) => Call,
  readCached: NonNullable<Ffi['readCached']>,
): Ffi['splitPiece'] {
  try {
    const parameters = '(uintptr_t address, size_t length, int protection, int flags, int fd, int64_t offset)'
    const mmap = find(`uintptr_t mmap64${parameters}`, `uintptr_t mmap${parameters}`)
    const madvise = find('int madvise(uintptr_t address, size_t length, int advice)')
    const munmap = find('int munmap(uintptr_t address, size_t length)')
    const probe = Buffer.allocUnsafeSlow(1)
    return (fd, offset) => {
      // What is not cached would be read from the medium, and has no piece.
      if (readCached(fd, probe, offset) !== 1) return false
      const address = mmap(0, PAGE_PART_BYTES, PROT_READ, MAP_SHARED, fd, offset)
      // MAP_FAILED is the largest address there is; all that are given out are exact numbers.
      if (typeof address !== 'number') return true
      if (madvise(address, PAGE_PART_BYTES, MADV_POPULATE_READ) === 0) madvise(address, PAGE_PART_BYTES, MADV_COLD)
      munmap(address, PAGE_PART_BYTES)
      return true
    }
  } catch {
    return null
  }
}

/** Runs calls on worker threads, at most {@link CALLS_MAX} at a time, in order of asking. */
class CallQueue {
  readonly #koffi: Koffi
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(koffi: Koffi) {
    this.#koffi = koffi
  }

  async call(name: string, call: Call, args: readonly unknown[]): Promise<number> {
    if (this.#running >= CALLS_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#running++
    try {
      return await new Promise<number>((resolve, reject) => {
        call.async(...args, (error: unknown, result: number) => {
          // The package hands the worker's errno over for the time of this callback.
          const errno = this.#koffi.errno()
          if (error !== null && error !== undefined) reject(error as Error)
          else if (result < 0) reject(new SystemCallError(name, errno))
          else resolve(result)
        })
      })
    } finally {
      this.#running--
      this.#waiting.shift()?.()
    }
  }
}

function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `E${errno}`
  }
}
