/**
 * The disk under a run: whether there is room on it, and whether what is read comes from it.
 *
 * Dropping the caches of the system needs its permission, and is asked for only where a figure depends on it; who asks
 * learns whether it was done, and says so beside the figure.
 */
import { spawnSync } from 'node:child_process'
import { statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { bytesText } from './figures.mjs'
import { findProgram } from './processes.mjs'
import { say } from './screen.mjs'

/** Room that is left to others. */
const SPARE_BYTES = 2 * 1024 ** 3

/**
 * The wanted size if `needed(size)` bytes fit into the folder, else the largest half, quarter ... that does, which is
 * told. A size that was asked for by name is never changed: who makes the folder refuses it then.
 */
export function sizeThatFits(folder = tmpdir(), wantedBytes, needed) {
  const { bavail, bsize } = statfsSync(folder)
  const free = bavail * bsize - SPARE_BYTES
  let bytes = wantedBytes
  while (needed(bytes) > free && bytes > 64 * 1024 * 1024) bytes /= 2
  if (bytes < wantedBytes)
    say(
      `${bytesText(wantedBytes)} need ${bytesText(needed(wantedBytes))}, which are not free: ${bytesText(bytes)} instead`,
    )
  return bytes
}

/** Writes everything to the disks and drops what the system has cached of them. False: it is not permitted. */
export function dropCaches() {
  spawnSync('sync')
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '3')
    return true
  } catch {
    return false
  }
}

/** Throws, with the names of their packages, unless all of these programs are installed: `{ nbdcopy: 'libnbd-bin' }`. */
export function requirePrograms(packages) {
  const missing = Object.keys(packages).filter((name) => findProgram(name) === null)
  if (missing.length === 0) return
  const names = missing.map((name) => `${name} (package ${packages[name]})`).join(', ')
  throw Object.assign(new Error(`not installed: ${names}\nnext: install them, and run this again`), { exitStatus: 69 })
}
