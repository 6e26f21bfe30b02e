/**
 * The programs of the demonstration, and the folder that they live in.
 *
 * Owns every process and file of it. `leave` ends and removes all of them, however far the story got; so does the end of
 * this process, for whatever reason short of kill -9. Nothing outside the folder is touched.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { environment, root } from './workspace.mjs'

const programs = {
  sitelink: join(root, 'packages', 'primary', 'bin', 'sitelink.js'),
  'sitelink-agent': join(root, 'packages', 'agent', 'bin', 'sitelink-agent.js'),
}

export const folder = mkdtempSync(join(tmpdir(), 'sitelink-demo-'))

const children = new Set()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    process.stdout.write('\n   interrupted: ending every process, removing every file\n')
    void leave().then(() => process.exit(130))
  })
}

/** Runs a verb to its end; anything but status 0 throws with what it said. Answers its standard output. */
export function verb(program, ...words) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [programs[program], ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment,
    })
    children.add(child)
    const out = []
    const err = []
    child.stdout.on('data', (chunk) => out.push(chunk))
    child.stderr.on('data', (chunk) => err.push(chunk))
    child.on('close', (status, signal) => {
      children.delete(child)
      if (status === 0) resolve(Buffer.concat(out).toString('utf8'))
      else reject(new Error(`${program} ${words.join(' ')} ended with ${signal ?? status}\n${Buffer.concat(err)}`))
    })
  })
}

/** Runs a verb whose output belongs on the screen as it is. */
export function verbOnScreen(program, ...words) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [programs[program], ...words], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: environment,
    })
    children.add(child)
    child.on('close', (status, signal) => {
      children.delete(child)
      if (status === 0) resolve()
      else reject(new Error(`${program} ${words.join(' ')} ended with ${signal ?? status}`))
    })
  })
}

/** A daemon that runs until it is stopped or killed. */
export class Daemon {
  #child
  #output = ''
  #ended
  #exit = null

  constructor(program, ...words) {
    this.#child = spawn(process.execPath, [programs[program], ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment,
    })
    children.add(this.#child)
    const keep = (chunk) => (this.#output = (this.#output + chunk).slice(-8192))
    this.#child.stdout.on('data', keep)
    this.#child.stderr.on('data', keep)
    this.#ended = new Promise((resolve) => {
      this.#child.on('close', (status, signal) => {
        children.delete(this.#child)
        this.#exit = signal ?? status
        resolve()
      })
    })
  }

  get pid() {
    return this.#child.pid
  }

  async kill() {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  /** A clean stop; a status other than 0 throws. */
  async stop() {
    this.#child.kill('SIGTERM')
    await this.#ended
    if (this.#exit !== 0) throw new Error(`a daemon stopped with ${this.#exit}\n${this.#output}`)
  }

  /** Waits until `control` answers to hello. */
  async answers(control) {
    await until('the daemon to answer', async () => {
      if (this.#exit !== null) throw new Error(`a daemon ended with ${this.#exit}\n${this.#output}`)
      return (await control.hello({ timeoutMs: 5000 }).catch(() => null)) !== null
    })
  }
}

/** Asks until the answer is true; never for longer than a minute. */
export async function until(what, probe) {
  const endMs = performance.now() + 60_000
  while (!(await probe())) {
    if (performance.now() > endMs) throw new Error(`waited a minute for ${what}`)
    await delay(50)
  }
}

/** Ends every process and removes every file. */
export async function leave() {
  const left = [...children]
  for (const child of left) child.kill('SIGKILL')
  await Promise.all(
    left.map(
      (child) =>
        new Promise((resolve) =>
          child.exitCode === null && child.signalCode === null ? child.once('close', resolve) : resolve(),
        ),
    ),
  )
  rmSync(folder, { recursive: true, force: true })
}
