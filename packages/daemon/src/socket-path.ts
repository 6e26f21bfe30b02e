/**
 * Addresses for Unix sockets whose path is longer than the kernel's 107 bytes.
 *
 * On Linux the directory is opened, and the socket named as `/proc/self/fd/N/<name>`; nothing is linked or changed on
 * disk, and no other process depends on it. Never hands a longer path to Node, because libuv cuts it silently.
 */
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { daemonErrors } from './daemon-errors.js'
import { SOCKET_PATH_BYTES_MAX } from './limits.js'
import { systemError } from './system-errors.js'

/** A path that fits; valid until `close`, which must not be called while a server listens on it. */
export interface SocketPath {
  readonly path: string
  close(): Promise<void>
}

/** Throws `SOCKET_PATH_TOO_LONG` where the path does not fit and there is no /proc. */
export async function socketPath(path: string): Promise<SocketPath> {
  const bytes = Buffer.byteLength(path)
  if (bytes <= SOCKET_PATH_BYTES_MAX) return { path, close: async () => {} }
  const name = basename(path)
  if (
    !existsSync('/proc/self/fd') ||
    Buffer.byteLength(name) > SOCKET_PATH_BYTES_MAX - '/proc/self/fd/1234567890/'.length
  ) {
    throw daemonErrors.create('SOCKET_PATH_TOO_LONG', { path, bytes, bytesMax: SOCKET_PATH_BYTES_MAX })
  }
  try {
    const directory = await open(dirname(path), 'r')
    let closing: Promise<void> | null = null
    return { path: `/proc/self/fd/${directory.fd}/${name}`, close: () => (closing ??= directory.close()) }
  } catch (error) {
    throw systemError(error) ?? error
  }
}
