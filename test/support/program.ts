/**
 * Child processes of a test: the two programs and the real clients.
 *
 * Owns every process that it starts: each is killed when the test process ends, and none is started detached, so that
 * the runner's kill of the whole process group reaches them too. Output is kept, bounded, for the report of a failure.
 * Programs run as an operator's do: source maps would take a seventh of a storm of kills; NODE_OPTIONS asks for them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, readFileSync } from 'node:fs'

const OUTPUT_BYTES_MAX = 64 * 1024

const living = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

/** How a process ended: by itself with a status, or by a signal. */
export interface ExitReport {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** File that gets all of its output as well, behind what is there. */
  readonly logPath?: string
}

/** A process that goes on until it is stopped. */
export class Program {
  readonly pid: number
  /** Resolves when the process has ended. */
  readonly ended: Promise<ExitReport>
  #output = ''
  #exit: ExitReport | null = null
  readonly #child: ChildProcess

  private constructor(
    readonly name: string,
    child: ChildProcess,
    logPath: string | undefined,
  ) {
    this.#child = child
    this.pid = child.pid ?? 0
    living.add(child)
    const keep = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString('utf8')).slice(-OUTPUT_BYTES_MAX)
      if (logPath !== undefined) appendFileSync(logPath, chunk)
    }
    child.stdout?.on('data', keep)
    child.stderr?.on('data', keep)
    this.ended = new Promise((resolve) => {
      child.on('error', (error) => {
        this.#output += `\n${error.message}`
        resolve((this.#exit = { status: 127, signal: null }))
      })
      child.on('close', (status, signal) => {
        living.delete(child)
        resolve((this.#exit ??= { status, signal }))
      })
    })
  }

  /** Starts `command`; a path that ends in `.js` runs under this Node. */
  static start(name: string, command: string, args: readonly string[], options: StartOptions = {}): Program {
    const [file, all] = command.endsWith('.js') ? [process.execPath, [command, ...args]] : [command, [...args]]
    const child = spawn(file, all, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return new Program(name, child, options.logPath)
  }

  /** What it wrote last, to stdout and stderr. */
  get output(): string {
    return this.#output
  }

  /** How it ended, or null while it runs. */
  get exit(): ExitReport | null {
    return this.#exit
  }

  /** `kill -9` at once, and waits until the kernel has taken everything back. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }

  /** Asks it to stop cleanly, and waits for the end. */
  async stop(timeoutMs = 60_000): Promise<ExitReport> {
    this.#child.kill('SIGTERM')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs)
    const report = await this.ended
    clearTimeout(late)
    return report
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Resident memory in bytes, as the kernel counts it; 0 after the end. */
  residentBytes(): number {
    return memoryField(this.pid, 'VmRSS')
  }

  /** The most resident memory that it ever had. */
  residentBytesPeak(): number {
    return memoryField(this.pid, 'VmHWM')
  }
}

function memoryField(pid: number, field: string): number {
  try {
    const line = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return Number(line?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** What a finished command left. */
export interface RunResult {
  readonly command: string
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions extends StartOptions {
  readonly timeoutMs?: number
  /** Given to its standard input. */
  readonly input?: string
}

/** More than this no command has to say: one that goes on, like a client that complains of its lost server, is ended. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024

/** Runs a command to its end and answers how it went; never throws because of its status. */
export function runCommand(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [file, all] = command.endsWith('.js') ? [process.execPath, [command, ...args]] : [command, [...args]]
  return new Promise((resolve) => {
    const child = spawn(file, all, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    })
    living.add(child)
    const out: Buffer[] = []
    const err: Buffer[] = []
    let keptBytes = 0
    const keepIn = (kept: Buffer[]) => (chunk: Buffer) => {
      keptBytes += chunk.length
      if (keptBytes <= ANSWER_BYTES_MAX) kept.push(chunk)
      else child.kill('SIGKILL')
    }
    child.stdout?.on('data', keepIn(out))
    child.stderr?.on('data', keepIn(err))
    child.stdin?.end(options.input)
    const late = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000)
    const text = `${command} ${args.join(' ')}`
    const done = (status: number | null, signal: NodeJS.Signals | null, extra = ''): void => {
      clearTimeout(late)
      living.delete(child)
      const stderr = Buffer.concat(err).toString('utf8') + extra
      resolve({ command: text, status, signal, stdout: Buffer.concat(out).toString('utf8'), stderr })
    }
    child.on('error', (error) => done(127, null, error.message))
    child.on('close', done)
  })
}

/** As {@link runCommand}, but anything other than status 0 throws with what the command said. */
export async function mustRun(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const result = await runCommand(command, args, options)
  if (result.status !== 0) {
    const how = result.signal === null ? `status ${result.status}` : String(result.signal)
    throw new Error(`${result.command} ended with ${how}\n${result.stdout}${result.stderr}`)
  }
  return result
}
