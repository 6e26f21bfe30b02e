/**
 * Settings of the C library's allocator that cannot be made from the environment of a process that already runs.
 *
 * Owns two numbers. A buffer of a mebibyte that comes fresh from the kernel costs more to touch for the first time than
 * to fill; so blocks of that size come from the heap of the process, and a part of the heap that becomes free is kept for
 * the next ones. Never needed: without the package `koffi`, or with a C library that has no such settings, nothing
 * changes but speed. Numbers of the parameters: malloc.h of the GNU C library.
 */
import { createRequire } from 'node:module'

const M_TRIM_THRESHOLD = -1
const M_MMAP_THRESHOLD = -3

/** Larger blocks come from the kernel and go back to it: no buffer of the data path is larger. */
const HEAP_BLOCK_BYTES_MAX = 4 * 1024 * 1024

/** So much of the heap may be free at its end before it goes back to the kernel. */
const FREE_BYTES_MAX = 32 * 1024 * 1024

interface Koffi {
  load(path: null): { func(definition: string): (parameter: number, value: number) => number }
}

/** Makes the settings, for the whole process. True if they are in force. */
export function keepFreedMemory(): boolean {
  if (process.platform !== 'linux') return false
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi
    const mallopt = koffi.load(null).func('int mallopt(int parameter, int value)')
    return mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK_BYTES_MAX) === 1 && mallopt(M_TRIM_THRESHOLD, FREE_BYTES_MAX) === 1
  } catch {
    return false
  }
}
