/**
 * Which paths lead to a program's own files in its state directory: nobody else may be given one of them to write on.
 *
 * Only looks. Paths are compared by what they lead to, so symbolic links, hard links and other names count; a path where
 * nothing is yet counts by the name that it would get. Files of the directory that are not the program's are nobody's.
 */
import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { isTempName } from './atomic-file.js'
import { MARKER_FILE } from './state-directory.js'
import { LOCK_FILE } from './state-lock.js'

/**
 * The name in `directory` of the own file that `path` leads to; null if it leads to none. `isOwn` says which names,
 * relative to the directory, are the program's besides the lock, the marker and temporary files.
 */
export async function ownStateFile(
  directory: string,
  path: string,
  isOwn: (name: string) => boolean,
): Promise<string | null> {
  const root = await realpath(directory).catch(() => null)
  if (root === null) return null
  const own = (name: string): boolean => name === LOCK_FILE || name === MARKER_FILE || isTempName(name) || isOwn(name)
  const name = relative(root, await realName(path))
  if (name !== '..' && !name.startsWith('../') && own(name)) return name
  const wanted = await identityOf(path)
  if (wanted === null) return null
  for (const entry of await readdir(root, { recursive: true })) {
    if (own(entry) && (await identityOf(join(root, entry))) === wanted) return entry
  }
  return null
}

/** Without links, as far as there is anything. */
async function realName(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    const folder = await realpath(dirname(path)).catch(() => dirname(path))
    return join(folder, basename(path))
  }
}

async function identityOf(path: string): Promise<string | null> {
  const found = await stat(path, { bigint: true }).catch(() => null)
  return found === null || found.isDirectory() ? null : `${found.dev}:${found.ino}`
}
