/**
 * The lock of a state directory: at most one process of this host works on it.
 *
 * Two locks are taken, in this order, and both must be had: flock on the file `lock`, where koffi and the file system
 * offer it (it also holds between containers, and between hosts where a network file system knows it); and an abstract
 * Unix socket, whose name derives from the directory's device, inode and secret id. The socket alone decides between
 * processes that disagree on flock, or after somebody deleted the lock file. The kernel releases both when the process
 * ends, however it ends. Never waits and never breaks a lock.
 */
import { createHash } from 'node:crypto'
import { open, readFile, stat, type FileHandle } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { daemonErrors } from './daemon-errors.js'
import type { SitelinkError } from './errors.js'
import type { Flock } from './flock.js'
import { isErrno, whyOf } from './system-errors.js'

/** Who holds a state directory, for messages only. */
export interface LockHolder {
  readonly program: string
  readonly pid: number
  readonly host: string
  /** `daemon` answers on the control socket sooner or later, `command` never does. */
  readonly role: 'daemon' | 'command'
  /** Microseconds since 1970. */
  readonly sinceUs: number
}

/** What a process that asks for the lock says of itself. */
export type LockPurpose = Pick<LockHolder, 'program' | 'role'>

/** Proof that this process holds the lock of `directory`. */
export interface StateLock {
  readonly directory: string
  /** What keeps others out. */
  readonly methods: readonly ('flock' | 'socket')[]
  /** False once released. */
  readonly held: boolean
  /** Gives the lock up. Repeating it does nothing. */
  release(): Promise<void>
}

export type LockAttempt =
  | { readonly kind: 'locked'; readonly lock: StateLock }
  | { readonly kind: 'held'; readonly holder: LockHolder | null }

export interface LockRequest {
  readonly directory: string
  /** Known to the owner of the directory only, so that no other user can take the socket's name first. */
  readonly secret: string
  readonly purpose: LockPurpose
  /** Null: without flock. */
  readonly flock: Flock | null
  readonly wallUs: number
}

/** Name of the file that flock works on and that names the holder. */
export const LOCK_FILE = 'lock'

/** Exactly fills `sun_path`: Node versions differ in whether they pad a shorter abstract name with zeros. */
const SOCKET_NAME_CHARS = 107

/** One attempt, without waiting. Throws `STATE_LOCK_FAILED` where neither lock can be had. */
export async function tryStateLock(request: LockRequest): Promise<LockAttempt> {
  const path = join(request.directory, LOCK_FILE)
  const file = await open(path, 'a+', 0o600)
  let server: Server | null = null
  try {
    const flocked = request.flock === null ? 'unsupported' : request.flock(file.fd)
    if (flocked === 'held') return await heldBy(file, request.directory)
    server = await listenAbstract(await socketName(request), request.directory)
    if (server === null) return await heldBy(file, request.directory)
    const lock = new HeldLock(request.directory, flocked === 'locked' ? ['flock', 'socket'] : ['socket'], file, server)
    const holder: LockHolder = { ...request.purpose, pid: process.pid, host: hostname(), sinceUs: request.wallUs }
    await writeHolder(file, holder)
    return { kind: 'locked', lock }
  } catch (error) {
    server?.close()
    await file.close().catch(() => {})
    throw error
  }
}

/** The error for a lock that somebody else holds. */
export function lockedError(path: string, program: string, holder: LockHolder | null): SitelinkError {
  return daemonErrors.create('STATE_LOCKED', {
    path,
    program: holder?.program ?? program,
    pid: holder?.pid ?? null,
    role: holder?.role ?? null,
  })
}

class HeldLock implements StateLock {
  readonly directory: string
  readonly methods: readonly ('flock' | 'socket')[]
  readonly #file: FileHandle
  readonly #server: Server
  #released: Promise<void> | null = null

  constructor(directory: string, methods: readonly ('flock' | 'socket')[], file: FileHandle, server: Server) {
    this.directory = directory
    this.methods = methods
    this.#file = file
    this.#server = server
  }

  get held(): boolean {
    return this.#released === null
  }

  release(): Promise<void> {
    this.#released ??= this.#releaseOnce()
    return this.#released
  }

  /** The socket first: whoever then gets the flock is never refused by a socket that is about to go. */
  async #releaseOnce(): Promise<void> {
    await this.#file.truncate(0).catch(() => {}) // only a message for others; the lock does not depend on it
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
    await this.#file.close()
  }
}

async function socketName({ directory, secret }: LockRequest): Promise<string> {
  const { dev, ino } = await stat(directory, { bigint: true })
  const digest = createHash('sha256').update(`${dev}:${ino}:${secret}`).digest('hex')
  return `\0sitelink-state-${digest}`.padEnd(SOCKET_NAME_CHARS + 1, '-')
}

/** The listening socket that is the lock, or null where another process has the name. */
function listenAbstract(name: string, directory: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error) => {
      if (isErrno(error, 'EADDRINUSE')) return resolve(null)
      reject(daemonErrors.create('STATE_LOCK_FAILED', { path: directory, why: whyOf(error) }, { cause: error }))
    })
    server.listen({ path: name, exclusive: true }, () => resolve(server))
    server.unref() // a lock alone is no reason for a process to live on
  })
}

async function writeHolder(file: FileHandle, holder: LockHolder): Promise<void> {
  await file.truncate(0)
  await file.appendFile(`${JSON.stringify(holder)}\n`)
}

async function heldBy(file: FileHandle, directory: string): Promise<LockAttempt> {
  await file.close()
  const text = await readFile(join(directory, LOCK_FILE), 'utf8').catch(() => '')
  return { kind: 'held', holder: parseHolder(text) }
}

/** Null where the file is empty, half written, or names a process of this host that is gone. */
function parseHolder(text: string): LockHolder | null {
  try {
    const holder = JSON.parse(text) as Partial<LockHolder> | null
    if (typeof holder?.pid !== 'number' || typeof holder.program !== 'string' || typeof holder.host !== 'string')
      return null
    if (holder.host === hostname()) process.kill(holder.pid, 0)
    return {
      program: holder.program,
      pid: holder.pid,
      host: holder.host,
      role: holder.role === 'daemon' ? 'daemon' : 'command',
      sinceUs: holder.sinceUs ?? 0,
    }
  } catch (error) {
    if (isErrno(error, 'EPERM')) return JSON.parse(text) as LockHolder
    return null
  }
}
