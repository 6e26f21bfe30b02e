/**
 * How a run is told: aligned tables, a JSON file, and the facts of the machine that its figures depend on.
 *
 * Never names a host, a user or a folder of the machine: what it writes may be published. It judges nothing.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { readText, root } from '../../scripts/lib/workspace.mjs'
import { findProgram } from './processes.mjs'

/**
 * Rows of cells as lines of text. The first column is aligned to the left, the others to the right, unless `left` names
 * them by their index.
 */
export function textTable(head, rows, { left = [0] } = {}) {
  const all = [head, ...rows].map((row) => row.map(String))
  const widths = head.map((_, at) => Math.max(...all.map((row) => (row[at] ?? '').length)))
  const line = (row) =>
    widths.map((width, at) => (left.includes(at) ? (row[at] ?? '').padEnd(width) : (row[at] ?? '').padStart(width)))
  return all.map((row) => line(row).join('  ').trimEnd())
}

/** Writes what was measured, for programs. */
export function writeJson(path, result) {
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`)
}

/** Programs whose versions count, each with the words that make it tell, and how to find the version in what it says. */
const versionWords = {
  fio: ['--version'],
  nbdkit: ['--version'],
  'qemu-storage-daemon': ['--version'],
  'qemu-img': ['--version'],
}

/** What the figures of this run depend on. `programs`: whose versions are asked for beside Node's and our own. */
export function machineFacts(programs = Object.keys(versionWords)) {
  const processors = cpus()
  return {
    processor: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    sitelink: JSON.parse(readText('package.json')).version,
    commit: commit(),
    programs: Object.fromEntries(programs.map((name) => [name, versionOf(name)])),
  }
}

/** The same in lines for people. */
export function machineLines(facts) {
  const programs = Object.entries(facts.programs).map(([name, version]) => `${name} ${version ?? 'missing'}`)
  return [
    `${facts.processor}, ${facts.cores} cores, ${(facts.memoryBytes / 1024 ** 3).toFixed(0)} GiB, Linux ${facts.kernel}`,
    `Sitelink ${facts.sitelink} (${facts.commit}), Node ${facts.node}, ${programs.join(', ')}`,
  ]
}

function versionOf(name) {
  const path = findProgram(name)
  if (path === null) return null
  const said = spawnSync(path, versionWords[name] ?? ['--version'], { encoding: 'utf8' }).stdout ?? ''
  return /\d+\.\d+(\.\d+)*/.exec(said)?.[0] ?? 'unknown'
}

/** The commit that is measured, with a mark if what lies there differs from it. */
function commit() {
  const git = (...words) => spawnSync('git', words, { cwd: root, encoding: 'utf8' })
  const head = git('rev-parse', '--short=8', 'HEAD')
  if (head.status !== 0) return 'no commit'
  const dirty = (git('status', '--porcelain', '--untracked-files=no').stdout ?? '').trim() !== ''
  return `${head.stdout.trim()}${dirty ? ', changed' : ''}`
}

/** Load of the machine before a run: other work on it makes figures worthless, and the reader has to know. */
export function loadAverage() {
  try {
    return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0])
  } catch {
    return null
  }
}
