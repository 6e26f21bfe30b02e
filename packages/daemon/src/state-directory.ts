/**
 * A program's state directory: where its configuration, its lock and its control socket live.
 *
 * Owns the marker file that tells whose directory it is and whether its initialisation was finished. Never touches a
 * directory that holds files of somebody else, and never works on one that others can write to. The directory has mode
 * 0700; whatever changes in it is changed under its lock.
 */
import { chmod, mkdir, readdir, readFile, rmdir, stat, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Clock, Random } from '@sitelink/protocol/entry'
import { isTempName, realSteps, removeTempFiles, writeFileAtomic } from './atomic-file.js'
import { delay, RealClock } from './clock.js'
import { daemonErrors } from './daemon-errors.js'
import { SitelinkError } from './errors.js'
import { loadFlock, type Flock } from './flock.js'
import { DAEMON_POLL_MS } from './limits.js'
import { RealRandom } from './random.js'
import {
  LOCK_FILE,
  lockedError,
  tryStateLock,
  type LockAttempt,
  type LockPurpose,
  type StateLock,
} from './state-lock.js'
import { isErrno, systemError } from './system-errors.js'

export interface StateDirectoryOptions {
  /** `sitelink` or `sitelink-agent`: a directory belongs to one of them. */
  readonly program: string
  readonly clock?: Clock
  readonly random?: Random
  /** Null: lock without flock, as where koffi is not installed. */
  readonly flock?: Flock | null
}

interface Marker {
  readonly format: 'sitelink-state'
  readonly version: number
  readonly program: string
  /** Random; part of the lock's name. */
  readonly id: string
  /** False from the first byte to the end of the initialisation. */
  readonly ready: boolean
}

/** Name of the file that tells whose directory it is. */
export const MARKER_FILE = 'sitelink-state.json'
const MARKER_VERSION = 1
const GROUP_OR_OTHERS_WRITE = 0o022

/** A state directory that exists, is ready and belongs to this program. */
export class StateDirectory {
  /** Absolute path. */
  readonly path: string
  readonly program: string
  /** Random identity, hexadecimal. */
  readonly id: string
  readonly #options: StateDirectoryOptions

  private constructor(path: string, id: string, options: StateDirectoryOptions) {
    this.path = path
    this.program = options.program
    this.id = id
    this.#options = options
  }

  /**
   * Opens a directory that {@link StateDirectory.initialise} made. Throws `STATE_MISSING`, `STATE_UNFINISHED`,
   * `STATE_OTHER_PROGRAM`, `STATE_EXPOSED`, `STATE_TOO_NEW` or `STATE_CORRUPT`. Takes no lock.
   */
  static async open(path: string, options: StateDirectoryOptions): Promise<StateDirectory> {
    const absolute = resolve(path)
    const marker = await readMarker(absolute, options.program)
    if (marker === null) throw daemonErrors.create('STATE_MISSING', { path: absolute })
    if (!marker.ready) throw daemonErrors.create('STATE_UNFINISHED', { path: absolute })
    await refuseExposed(absolute)
    return new StateDirectory(absolute, marker.id, options)
  }

  /**
   * Makes a state directory of an absent or empty directory, runs `fill` under its lock to put the first files into it,
   * and only then calls it ready. Where `fill` throws, everything that this call put there is removed again. Where the
   * process dies, the same call can be repeated; `fill` must therefore replace what it finds. Throws `STATE_FOREIGN`, `STATE_EXISTS`, `STATE_LOCKED`.
   */
  static async initialise<T>(
    path: string,
    options: StateDirectoryOptions,
    fill: (state: StateDirectory, lock: StateLock) => Promise<T>,
  ): Promise<T> {
    const absolute = resolve(path)
    const before = await makeDirectory(absolute, options.program)
    const begun = await beginMarker(absolute, options)
    const state = new StateDirectory(absolute, begun.id, options)
    const lock = await state.lock('command')
    try {
      const marker = await readMarker(absolute, options.program)
      // Whoever held the lock before has failed and removed it.
      if (marker?.id !== begun.id) throw lockedError(absolute, options.program, null)
      if (marker.ready) throw daemonErrors.create('STATE_EXISTS', { path: absolute, program: options.program })
      try {
        const result = await fill(state, lock)
        await writeFileAtomic(join(absolute, MARKER_FILE), markerText({ ...marker, ready: true }))
        return result
      } catch (error) {
        await removeMade(absolute, before)
        throw error
      }
    } finally {
      await lock.release()
    }
  }

  /** Throws `STATE_EXISTS` for a directory that is ready: before anything else is looked at or made. */
  static async refuseReady(path: string, program: string): Promise<void> {
    const absolute = resolve(path)
    const marker = await readMarker(absolute, program)
    if (marker?.ready === true) throw daemonErrors.create('STATE_EXISTS', { path: absolute, program })
  }

  /** Absolute path of the file `name` in this directory. */
  file(name: string): string {
    return join(this.path, name)
  }

  /** One attempt at the lock, without waiting. */
  async tryLock(role: LockPurpose['role']): Promise<LockAttempt> {
    const { clock = new RealClock(), flock = loadFlock() } = this.#options
    try {
      const attempt = await tryStateLock({
        directory: this.path,
        secret: this.id,
        purpose: { program: this.program, role },
        flock,
        wallUs: clock.wallUs(),
      })
      if (attempt.kind === 'held') return attempt
      try {
        await removeTempFiles(this.path)
        return attempt
      } catch (error) {
        await attempt.lock.release()
        throw error
      }
    } catch (error) {
      throw systemError(error) ?? error
    }
  }

  /**
   * Takes the lock or throws `STATE_LOCKED`, which names the holder. A daemon gives `waitMs` some seconds, because a
   * command that looks whether there is a daemon holds the lock for a moment.
   */
  async lock(role: LockPurpose['role'], waitMs = 0): Promise<StateLock> {
    const { clock = new RealClock() } = this.#options
    const endMs = clock.nowMs() + waitMs
    for (;;) {
      const attempt = await this.tryLock(role)
      if (attempt.kind === 'locked') return attempt.lock
      if (clock.nowMs() >= endMs) throw lockedError(this.path, this.program, attempt.holder)
      await delay(clock, DAEMON_POLL_MS)
    }
  }
}

function markerText(marker: Marker): string {
  return `${JSON.stringify(marker, null, 2)}\n`
}

/** Null where there is no marker or no directory. */
async function readMarker(path: string, program: string): Promise<Marker | null> {
  const file = join(path, MARKER_FILE)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null
    throw systemError(error) ?? error
  }
  const marker = parseMarker(text, path, program)
  if (marker.program !== program)
    throw daemonErrors.create('STATE_OTHER_PROGRAM', { path, program, owner: marker.program })
  return marker
}

/** The version is judged before the rest, which a newer release may have changed. */
function parseMarker(text: string, path: string, program: string): Marker {
  const corrupt = (why: string): SitelinkError =>
    daemonErrors.create('STATE_CORRUPT', { path: join(path, MARKER_FILE), why })
  let value: Partial<Marker> | null
  try {
    value = JSON.parse(text) as Partial<Marker> | null
  } catch {
    throw corrupt('it is not valid JSON')
  }
  const { format, version = NaN, program: owner, id, ready } = value ?? {}
  if (format !== 'sitelink-state' || !Number.isSafeInteger(version))
    throw corrupt('it is no marker of a state directory')
  if (version > MARKER_VERSION) {
    throw daemonErrors.create('STATE_TOO_NEW', { path, program, version, versionMax: MARKER_VERSION })
  }
  if (typeof owner !== 'string' || typeof id !== 'string' || typeof ready !== 'boolean')
    throw corrupt('a key is missing')
  return { format, version, program: owner, id, ready }
}

/** What was there before an initialisation: names in the directory, and the outermost directory that it had to make. */
interface Before {
  readonly names: readonly string[]
  readonly made: string | null
}

/** Takes back what a failed initialisation made, under its lock. What cannot be removed stays: the error matters more. */
async function removeMade(path: string, { names, made }: Before): Promise<void> {
  const now = await readdir(path).catch((): string[] => [])
  for (const name of now) if (!names.includes(name)) await unlink(join(path, name)).catch(() => {})
  if (made === null) return
  for (let at = path; at.startsWith(made); at = dirname(at)) await rmdir(at).catch(() => {})
}

/** Refuses a directory with foreign files; makes an absent one, durable, with mode 0700. */
async function makeDirectory(path: string, program: string): Promise<Before> {
  let made: string | null = null
  try {
    const parent = (await mkdir(dirname(path), { recursive: true })) ?? null
    await mkdir(path, { mode: 0o700 })
    made = parent ?? path
    // The name of each new directory lies in the one above it.
    for (let at = path; at.startsWith(made); at = dirname(at)) await realSteps.syncDirectory(dirname(at))
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw systemError(error) ?? error
  }
  let names: string[]
  try {
    names = await readdir(path)
  } catch (error) {
    throw systemError(error) ?? error
  }
  if (names.includes(MARKER_FILE)) return { names, made }
  const foreign = names.filter(
    (name) => name !== 'lost+found' && name !== LOCK_FILE && !(name.startsWith(MARKER_FILE) && isTempName(name)),
  )
  if (foreign.length > 0) {
    const found = [...foreign.sort().slice(0, 3), ...(foreign.length > 3 ? ['...'] : [])]
    throw daemonErrors.create('STATE_FOREIGN', { path, program, found })
  }
  await chmod(path, 0o700)
  return { names, made }
}

/** The marker that is there, or a new one that is not ready. Of two processes that begin, one's marker counts for both. */
async function beginMarker(
  path: string,
  { program, random = new RealRandom() }: StateDirectoryOptions,
): Promise<Marker> {
  const found = await readMarker(path, program)
  if (found !== null) return found
  const marker: Marker = {
    format: 'sitelink-state',
    version: MARKER_VERSION,
    program,
    id: random.bytes(16).toString('hex'),
    ready: false,
  }
  try {
    await writeFileAtomic(join(path, MARKER_FILE), markerText(marker), { exclusive: true })
    return marker
  } catch (error) {
    // Another process was first; it may even have taken this one's temp file for the leftover of a crash.
    const first = await readMarker(path, program)
    if (first === null) throw error
    return first
  }
}

async function refuseExposed(path: string): Promise<void> {
  const { mode } = await stat(path)
  if ((mode & GROUP_OR_OTHERS_WRITE) !== 0) {
    throw daemonErrors.create('STATE_EXPOSED', { path, mode: (mode & 0o777).toString(8) })
  }
}
