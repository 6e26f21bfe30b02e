/**
 * Where tests find the repository, the two programs, and room for their files.
 *
 * Owns the temporary folders of this test process: each is removed when the process ends, whatever happened in it.
 */
import { accessSync, constants, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the repository; this file runs from test/dist/support. */
export const repositoryRoot = fileURLToPath(new URL('../../../', import.meta.url))

export const primaryProgram = join(repositoryRoot, 'packages', 'primary', 'bin', 'sitelink.js')
export const agentProgram = join(repositoryRoot, 'packages', 'agent', 'bin', 'sitelink-agent.js')

const folders = new Set<string>()
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A new empty folder; `label` tells people what it is for. */
export function temporaryFolder(label: string, below = tmpdir()): string {
  const folder = mkdtempSync(join(below, `sitelink-${label}-`))
  folders.add(folder)
  return folder
}

const MEMORY_FOLDER = '/dev/shm'
const MEMORY_FREE_BYTES_MIN = 2 * 1024 * 1024 * 1024

/** A temporary folder in memory, where there is plenty; else as any other. For files that are many and short-lived. */
export function fastFolder(label: string): string {
  return temporaryFolder(label, hasMemoryFolder() ? MEMORY_FOLDER : undefined)
}

function hasMemoryFolder(): boolean {
  try {
    accessSync(MEMORY_FOLDER, constants.W_OK)
    const { bavail, bsize } = statfsSync(MEMORY_FOLDER)
    return bavail * bsize >= MEMORY_FREE_BYTES_MIN
  } catch {
    return false
  }
}

/** Removes a temporary folder before the process ends. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  folders.delete(folder)
}
