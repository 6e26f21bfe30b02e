/**
 * The file of a Unix socket: who may take its place, and who may open it.
 *
 * A file is removed only if it is a socket that nobody listens on: the leftover of a process that was killed. Anything
 * else is left alone and reported. The socket is never open to others than its owner, not even for a moment.
 */
import { chmodSync } from 'node:fs'
import { lstat, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { isMainThread } from 'node:worker_threads'
import { ListenError } from './listen-error.js'

/** Bytes: what `sockaddr_un` holds, without its final zero. */
const PATH_BYTES_MAX = 107

/** Makes way for a socket at `path`. Throws `ListenError` when something else is in its place. */
export async function clearSocketPath(path: string): Promise<void> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
    throw new ListenError('path-too-long', `the path of a Unix socket has at most ${PATH_BYTES_MAX} bytes: ${path}`)
  }
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw new ListenError('system', `cannot look at ${path}: ${error.message}`, { cause: error })
  })
  if (found === null) return
  if (!found.isSocket()) throw new ListenError('not-a-socket', `${path} exists and is not a socket; it was left alone`)
  if (await isListening(path)) throw new ListenError('in-use', `another process listens on ${path}`)
  await unlink(path)
}

/** Begins to listen on `path`, mode 0600 from the first moment. */
export function listenPrivately(server: Server, path: string): void {
  // The file is made during this call. A worker thread has no umask of its own and gets the mode just after.
  const mask = isMainThread ? process.umask(0o177) : null
  try {
    server.listen(path)
  } finally {
    if (mask !== null) process.umask(mask)
  }
  if (mask === null) server.once('listening', () => chmodSync(path, 0o600))
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false)
      // A full queue of pending connections, or no permission to connect: somebody is there.
      else if (error.code === 'EAGAIN' || error.code === 'EACCES') resolve(true)
      else reject(new ListenError('system', `cannot probe ${path}: ${error.message}`, { cause: error }))
    })
  })
}
