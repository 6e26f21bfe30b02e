/**
 * Processes of a measurement: started, watched, accounted for, and ended.
 *
 * Owns every process that it starts. Each is ended by its pid: when it is stopped, when `endAll` is called, at the latest
 * when this process ends. It touches no other process. What a process used is what the kernel says: processor time of a
 * process with its ended children, and of its living descendants, and the most memory that each ever had.
 */
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { environment } from '../../scripts/lib/workspace.mjs'

const OUTPUT_BYTES_MAX = 16 * 1024
const STOP_MS_MAX = 60_000

const living = new Set()
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

let closed = false

/** Ends everything that still runs, and waits until it has ended. With `forGood` nothing is started any more. */
export async function endAll({ forGood = false } = {}) {
  closed ||= forGood
  const left = [...living]
  for (const child of left) child.kill('SIGKILL')
  await Promise.all(left.map((child) => (hasEnded(child) ? null : new Promise((done) => child.once('close', done)))))
}

/** Whether {@link endAll} was called for good: whoever fails now fails because of it. */
export function isClosed() {
  return closed
}

function hasEnded(child) {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined
}

function start(command, words, env) {
  if (closed) throw new Error('interrupted')
  // A program of ours runs under this Node.
  const [file, all] = command.endsWith('.js') ? [process.execPath, [command, ...words]] : [command, words]
  const child = spawn(file, all, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...environment, SITELINK_BUNDLE: '1', ...env },
  })
  living.add(child)
  child.once('close', () => living.delete(child))
  child.once('error', () => living.delete(child))
  return child
}

/** A process that goes on until it is stopped. */
export class Program {
  /** Resolves when it has ended. */
  ended
  /** How it ended, a status or the name of a signal; null while it runs. */
  exit = null
  #child
  #output = ''

  /** Starts `command`; a path that ends in `.js` runs under this Node. */
  constructor(name, command, words, env = {}) {
    this.name = name
    this.#child = start(command, words, env)
    const keep = (chunk) => (this.#output = (this.#output + chunk).slice(-OUTPUT_BYTES_MAX))
    this.#child.stdout.on('data', keep)
    this.#child.stderr.on('data', keep)
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        keep(error.message)
        resolve((this.exit = 127))
      })
      this.#child.once('close', (status, signal) => resolve((this.exit ??= signal ?? status)))
    })
  }

  get pid() {
    return this.#child.pid
  }

  /** What it wrote last, to stdout and stderr. */
  get output() {
    return this.#output
  }

  signal(name) {
    this.#child.kill(name)
  }

  /** `kill -9`, and waits for the end. */
  async kill() {
    this.#child.kill('SIGKILL')
    await this.ended
  }

  /** Asks it to stop, waits for the end, and answers how it ended. After a minute it is killed. */
  async stop() {
    this.#child.kill('SIGTERM')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS_MAX)
    await this.ended
    clearTimeout(late)
    return this.exit
  }

  /** Resolves when `probe` answers true; rejects with the program's output if it ends before. */
  async ready(probe, timeoutMs = 60_000) {
    await until(`${this.name} to answer`, async () => this.exit !== null || (await probe()), { timeoutMs })
    if (this.exit !== null) throw new Error(`${this.name} ended with ${this.exit}\n${this.#output.trim()}`)
  }
}

/** Runs a command to its end. Answers its status, or the name of the signal that ended it, and what it wrote. */
export function runCommand(command, words, { env = {}, timeoutMs = 600_000 } = {}) {
  return new Promise((resolve) => {
    const child = start(command, words, env)
    const out = []
    const err = []
    child.stdout.on('data', (chunk) => out.push(chunk))
    child.stderr.on('data', (chunk) => err.push(chunk))
    const late = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    const done = (exit, more = '') => {
      clearTimeout(late)
      resolve({ exit, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() + more })
    }
    child.once('error', (error) => done(127, error.message))
    child.once('close', (status, signal) => done(signal ?? status))
  })
}

/** As {@link runCommand}, but anything other than status 0 throws with what the command said. */
export async function mustRun(command, words, options) {
  const result = await runCommand(command, words, options)
  if (result.exit === 0) return result
  throw new Error(
    `${command} ${words.join(' ')} ended with ${result.exit}\n${`${result.stdout}${result.stderr}`.trim()}`,
  )
}

/** Asks until the answer is true or the deadline has passed, which throws. A probe that throws ends the wait. */
export async function until(what, probe, { timeoutMs = 60_000, intervalMs = 20 } = {}) {
  const endMs = performance.now() + timeoutMs
  while (!(await probe())) {
    if (performance.now() > endMs) throw new Error(`waited ${Math.round(timeoutMs / 1000)} s for ${what}`)
    await delay(intervalMs)
  }
}

/** Path of a program, also from the folders of the system's administrator; null if it is not installed. */
export function findProgram(name) {
  const folders = [...environment.PATH.split(delimiter), '/usr/local/sbin']
  for (const folder of folders) {
    try {
      const path = join(folder, name)
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not here.
    }
  }
  return null
}

/** A TCP port of 127.0.0.1 that nobody listens on. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

let tickUs = 0

/**
 * What the processes `pids` and all their descendants have used so far: processor time in microseconds (theirs, and that
 * of children that have ended), and the sum of the most memory that each living one ever had. The kernel counts processor
 * time in steps of 10 ms here: differences over less than a second say little.
 */
export function usageOf(pids) {
  const facts = new Map()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = procText(name, 'stat')
    // The second field is the command's name in brackets, and may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (stat !== '') facts.set(Number(name), { parent: Number(fields[1]), ticks: sum(fields.slice(11, 15)) })
  }
  const family = new Set(pids)
  for (let grew = true; grew;) {
    grew = false
    for (const [pid, { parent }] of facts) {
      if (family.has(parent) && !family.has(pid)) {
        family.add(pid)
        grew = true
      }
    }
  }
  tickUs ||= 1e6 / (Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout) || 100)
  const all = [...family].filter((pid) => facts.has(pid))
  return {
    cpuUs: sum(all.map((pid) => facts.get(pid).ticks)) * tickUs,
    peakBytes: sum(all.map((pid) => memoryBytes(pid, 'VmHWM'))),
    processes: all.length,
  }
}

/** A field of the kernel's account of a process' memory: `VmHWM` the most it ever had, `VmRSS` what it has; 0 after its end. */
export function memoryBytes(pid, field) {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(procText(pid, 'status'))?.[1] ?? 0) * 1024
}

function procText(pid, name) {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    // It has ended meanwhile.
    return ''
  }
}

function sum(values) {
  return values.reduce((total, value) => total + Number(value), 0)
}
