/**
 * Replacing a small file so that a crash or a power cut leaves the old content or the new one, never a mixture.
 *
 *   write temp ─ sync temp ─ rename over the file ─ sync the directory
 *
 * Never writes into the file itself, so a full disk leaves it intact. A temp file left by a crash is never read; its
 * name tells what it is, and the holder of the state directory's lock removes it.
 */
import { link, open, readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { daemonErrors } from './daemon-errors.js'
import { isErrno, whyOf } from './system-errors.js'

/** The steps of a replacement, so that a test can make each of them fail. */
export interface AtomicFileSteps {
  writeAndSync(path: string, data: string | Uint8Array, mode: number): Promise<void>
  rename(from: string, to: string): Promise<void>
  link(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  syncDirectory(path: string): Promise<void>
}

export interface AtomicFileOptions {
  /** Permissions of the new file, 0600 unless told. */
  readonly mode?: number
  /** Refuse with `cause` EEXIST where the file exists, instead of replacing it. */
  readonly exclusive?: boolean
  readonly steps?: AtomicFileSteps
}

const TEMP_NAME = /^.+\.\d+-\d+\.tmp$/
let tempCount = 0

/** The steps over the real file system. */
export const realSteps: AtomicFileSteps = {
  async writeAndSync(path, data, mode) {
    const file = await open(path, 'w', mode)
    try {
      await file.writeFile(data)
      await file.sync()
    } finally {
      await file.close()
    }
  },
  rename,
  link,
  unlink,
  async syncDirectory(path) {
    const directory = await open(path, 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  },
}

/**
 * Writes `data` as the whole of the file at `path`, durable when it resolves. Throws `STATE_WRITE_FAILED` with the old
 * content intact, or `STATE_WRITE_UNCERTAIN` where the new content is in place but may not survive a power cut.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: AtomicFileOptions = {},
): Promise<void> {
  const steps = options.steps ?? realSteps
  const directory = dirname(path)
  const temp = join(directory, `${basename(path)}.${process.pid}-${++tempCount}.tmp`)
  try {
    await steps.writeAndSync(temp, data, options.mode ?? 0o600)
    await (options.exclusive === true ? steps.link(temp, path) : steps.rename(temp, path))
  } catch (error) {
    await steps.unlink(temp).catch(() => {}) // what could not be written may be impossible to remove as well
    throw daemonErrors.create('STATE_WRITE_FAILED', { path, why: whyOf(error) }, { cause: error })
  }
  try {
    if (options.exclusive === true) await steps.unlink(temp)
    await steps.syncDirectory(directory)
  } catch (error) {
    throw daemonErrors.create('STATE_WRITE_UNCERTAIN', { path, why: whyOf(error) }, { cause: error })
  }
}

/** True for the name of a temp file of {@link writeFileAtomic}. */
export function isTempName(name: string): boolean {
  return TEMP_NAME.test(name)
}

/** Removes temp files that a crash left in `directory`. Only for the holder of its lock. Returns their number. */
export async function removeTempFiles(directory: string): Promise<number> {
  const left = (await readdir(directory)).filter(isTempName)
  for (const name of left) {
    await unlink(join(directory, name)).catch((error: unknown) => {
      if (!isErrno(error, 'ENOENT')) throw error
    })
  }
  return left.length
}
