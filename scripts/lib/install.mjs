/**
 * Installs the dependencies when they are absent or older than the lock file.
 *
 * Owns the stamp that tells so, a file inside node_modules that holds the hash of the lock file and of the version of
 * Node that it was made with. The lock file is never changed: a lock file that does not fit fails the install.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pnpmCommand, readText, root, run } from './workspace.mjs'

const stamp = join(root, 'node_modules', '.sitelink-install')

function wanted() {
  return createHash('sha256').update(readText('pnpm-lock.yaml')).update(process.version).digest('hex')
}

/** True if what is installed is what the lock file says. */
export function isInstalled() {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted()
}

/** Installs if needed. Answers the exit status, what the package manager said, and whether it was asked at all. */
export async function ensureInstalled() {
  if (isInstalled()) return { status: 0, output: '', asked: false }
  const [command, ...args] = pnpmCommand()
  const result = await run(command, [...args, 'install', '--frozen-lockfile', '--prefer-offline'], { quiet: true })
  if (result.status === 0) writeFileSync(stamp, wanted())
  return { ...result, asked: true }
}
