/**
 * The system call flock, which Node does not have, through the optional package `koffi`.
 *
 * Says honestly when it cannot be had; never guesses a lock. The kernel drops the lock when the last descriptor of the
 * open file is closed, which a `kill -9` does too; Node opens files close-on-exec, so that no child keeps it.
 */
import { createRequire } from 'node:module'
import { constants } from 'node:os'

/** Takes an exclusive lock on an open file without waiting. `unsupported`: this file system cannot. */
export type Flock = (fd: number) => 'locked' | 'held' | 'unsupported'

const LOCK_EX = 2
const LOCK_NB = 4

interface Koffi {
  load(path: string | null): { func(prototype: string): (...args: number[]) => number }
  errno(): number
}

let loaded: Flock | null | undefined

/** The system call, or null where koffi is not installed, does not fit this system, or finds no libc. */
export function loadFlock(): Flock | null {
  loaded ??= load()
  return loaded
}

function load(): Flock | null {
  let koffi: Koffi
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi
  } catch {
    return null
  }
  const arch = process.arch === 'x64' ? 'x86_64' : process.arch === 'arm64' ? 'aarch64' : process.arch
  for (const name of ['libc.so.6', `libc.musl-${arch}.so.1`, null]) {
    try {
      const flock = koffi.load(name).func('int flock(int fd, int op)')
      return (fd) => {
        if (flock(fd, LOCK_EX | LOCK_NB) === 0) return 'locked'
        return koffi.errno() === constants.errno.EWOULDBLOCK ? 'held' : 'unsupported'
      }
    } catch {
      continue
    }
  }
  return null
}
