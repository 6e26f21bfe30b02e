/**
 * Real block devices for tests: loop devices over files of a temporary directory.
 *
 * Needs root and losetup. Where they are missing, tests are skipped with the reason that {@link loopProblem} gives.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, openSync } from 'node:fs'

export interface LoopDevice {
  readonly path: string
  readonly backingFile: string
  detach(): void
}

/** Attaches a new loop device over a new sparse file. */
export function attachLoop(backingFile: string, sizeBytes: number, sectorBytes: 512 | 4096 = 512): LoopDevice {
  const fd = openSync(backingFile, 'w')
  ftruncateSync(fd, sizeBytes)
  closeSync(fd)
  const path = execFileSync('losetup', ['--find', '--show', '--sector-size', String(sectorBytes), backingFile], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim()
  return {
    path,
    backingFile,
    detach: () => {
      execFileSync('losetup', ['--detach', path], { stdio: 'ignore' })
    },
  }
}

/** Why loop devices cannot be used here; false if they can. */
export function loopProblem(directory: string): string | false {
  try {
    attachLoop(`${directory}/probe.img`, 1024 * 1024).detach()
    return false
  } catch (error) {
    return `loop devices cannot be used: ${error instanceof Error ? error.message.split('\n').slice(0, 2).join(' ') : String(error)}`
  }
}
