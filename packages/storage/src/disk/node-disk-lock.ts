/**
 * Holds a file against other processes.
 *
 * With the system calls at hand it is an flock on the file's own descriptor, which ends with it. Without them it is a
 * name in the kernel's abstract socket space, made of the file's device and inode: it ends with the process, needs no
 * file, and holds within one network namespace only. The two do not see each other: a host should have koffi for all
 * of its processes or for none.
 */
import { createServer, type Server } from 'node:net'
import { DiskError, toDiskError } from './disk-error.js'
import type { Ffi } from './ffi.js'

/** A lock that is held; `release` does nothing for an flock, which ends when its descriptor is closed. */
export interface FileLock {
  release(): Promise<void>
}

const ENDS_WITH_DESCRIPTOR: FileLock = { release: () => Promise.resolve() }

/** Takes the lock or rejects with DISK_IN_USE at once. `identity` names the file, as {@link identityOf} does. */
export async function lockFile(fd: number, identity: string, path: string, ffi: Ffi | null): Promise<FileLock> {
  if (ffi === null) return lockBySocket(identity, path)
  try {
    if (ffi.tryLock(fd)) return ENDS_WITH_DESCRIPTOR
  } catch (error) {
    throw toDiskError(error, path, 'cannot lock')
  }
  throw new DiskError('DISK_IN_USE', path, 'cannot lock')
}

async function lockBySocket(identity: string, path: string): Promise<FileLock> {
  const server = createServer((socket) => socket.destroy())
  try {
    await listen(server, `\0sitelink-disk/${identity}`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE')
      throw new DiskError('DISK_IN_USE', path, 'cannot lock', { cause: error })
    throw toDiskError(error, path, 'cannot lock')
  }
  server.unref()
  return { release: () => new Promise((resolve) => server.close(() => resolve())) }
}

function listen(server: Server, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(name, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
