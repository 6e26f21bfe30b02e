/**
 * Where this repository is, what it tracks, and how its scripts start other programs.
 *
 * Owns: the root folder, the list of tracked and new files, the search path with the workspace's own tools in front, and
 * how pnpm is reached on a machine that has only Node and npm. It never changes a file.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/**
 * The environment for children: the workspace's tools are found whoever started us, and the programs start from what was
 * compiled, which tests and mutants change.
 */
export const environment = {
  ...process.env,
  SITELINK_BUNDLE: '0',
  PATH: [join(root, 'node_modules', '.bin'), process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(delimiter),
}

/** Text of a file of the repository. */
export function readText(path) {
  return readFileSync(join(root, path), 'utf8')
}

/** Files that are tracked, or new and not ignored, and that are there; relative to the root, sorted. */
export function repositoryFiles() {
  const found = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  if (found.status !== 0) throw new Error(`git ls-files failed: ${found.stderr || found.error}`)
  return [...new Set(found.stdout.split('\0'))].filter((path) => path !== '' && existsSync(join(root, path))).sort()
}

/** First 8 hex digits of the commit: the seed of everything random, unless SEED says otherwise. */
export function defaultSeed() {
  if (process.env.SEED) return process.env.SEED
  const head = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' })
  return head.status === 0 ? head.stdout.slice(0, 8) : '00000001'
}

/** How to call pnpm: the one that called us, else the pinned one through npx. */
export function pnpmCommand() {
  const caller = process.env.npm_execpath
  if (caller && /pnpm[^/\\]*$/.test(caller)) {
    return /\.[cm]?js$/.test(caller) ? [process.execPath, caller] : [caller]
  }
  const { packageManager } = JSON.parse(readText('package.json'))
  return ['npx', '-y', packageManager]
}

/**
 * Runs a program in the root folder and answers its exit status (128 + signal number is not told apart from failure).
 * With `quiet` its output is kept and answered, else it goes where ours goes.
 */
export function run(command, args, { quiet = false, env = environment, cwd = root } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: ['ignore', quiet ? 'pipe' : 'inherit', quiet ? 'pipe' : 'inherit'],
    })
    const pieces = []
    child.stdout?.on('data', (chunk) => pieces.push(chunk))
    child.stderr?.on('data', (chunk) => pieces.push(chunk))
    child.on('error', (error) => resolve({ status: 127, output: `${command}: ${error.message}\n` }))
    child.on('close', (status) => resolve({ status: status ?? 1, output: Buffer.concat(pieces).toString('utf8') }))
  })
}
