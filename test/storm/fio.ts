/**
 * fio as a second client, on a device of its own: real I/O with checksums in every block.
 *
 * Three parts of the device. In the first it lays down a pattern once at the beginning of a round; if every write of it
 * was acknowledged, it must be there when all is quiet again, whatever was killed in between. In the second it writes and
 * reads back all through the storm; it may lose its connection, but never read anything else than it wrote. The third is
 * written and verified when all is quiet.
 */
import type { Cluster } from '../support/cluster.js'
import { Program, runCommand, type RunResult } from '../support/program.js'
import { FIO_DEVICE } from './cast.js'
import type { Trace } from './trace.js'

const PARTS = {
  pattern: { offset: '0', size: '2m' },
  churn: { offset: '2m', size: '4m' },
  quiet: { offset: '6m', size: '1m' },
} as const

/** How fio says that what it read is not what it wrote. */
const MISMATCH = /verify: |verify failed|err=84/
const PATTERN_MS_MAX = 60_000
const CHURN_SECONDS_MAX = 300

/** Whether fio read something else than it had written. */
export function readsWrong(output: string): boolean {
  return MISMATCH.test(output)
}

export class Fio {
  #pattern: Promise<RunResult> | null = null
  #patternSeed = 0
  #churn: Program | null = null
  #churning: Promise<void> = Promise.resolve()
  #ending = false

  constructor(
    private readonly program: string,
    private readonly cluster: Cluster,
    private readonly trace: Trace,
  ) {}

  /** Lays down this round's pattern, and writes and verifies until `end`, with pauses while nobody is there. */
  begin(seed: number, bytesPerSecond: number): void {
    this.#ending = false
    this.#patternSeed = seed
    const words = this.#words('pattern', seed, '--do_verify=0', `--rate=${bytesPerSecond * 2}`)
    this.#pattern = runCommand(this.program, words, { timeoutMs: PATTERN_MS_MAX })
    this.#churning = this.#churnOn(seed, bytesPerSecond)
  }

  /** Ends what writes, and answers whether the pattern was acknowledged as a whole. */
  async end(): Promise<void> {
    this.#ending = true
    await this.#churn?.kill()
    await this.#churning
  }

  /** When all is quiet: what was acknowledged is there, and a fresh write verifies. */
  async verify(seed: number): Promise<void> {
    const laid = await this.#pattern
    if (laid !== null && laid.status === 0) {
      await this.#must('the pattern of this round', this.#words('pattern', this.#patternSeed, '--verify_only=1'))
      this.trace.count('fio patterns that outlived a round')
    }
    await this.#must('a write when all is quiet', this.#words('quiet', seed, '--do_verify=1'))
    this.trace.count('fio verifies')
  }

  async #churnOn(seed: number, bytesPerSecond: number): Promise<void> {
    for (let at = 0; !this.#ending; at++) {
      const words = this.#words('churn', seed + at, '--do_verify=1', '--verify_backlog=32', '--time_based')
      words.push(`--runtime=${CHURN_SECONDS_MAX}`, `--rate=${bytesPerSecond}`)
      const churn = (this.#churn = Program.start('fio', this.program, words))
      await churn.ended
      if (readsWrong(churn.output)) this.trace.violate(`fio read what it had not written:\n${churn.output}`)
      this.trace.count('fio runs')
      // It lost its connection: the primary comes back soon.
      if (!this.#ending) await new Promise((resolve) => setTimeout(resolve, 250))
    }
    this.#churn = null
  }

  async #must(what: string, words: string[]): Promise<void> {
    const result = await runCommand(this.program, words, { timeoutMs: PATTERN_MS_MAX })
    if (result.status !== 0) this.trace.fail(`fio, ${what}: status ${result.status}\n${result.stdout}${result.stderr}`)
  }

  #words(part: keyof typeof PARTS, seed: number, ...more: string[]): string[] {
    const { offset, size } = PARTS[part]
    const fixed = ['--name=storm', '--ioengine=nbd', `--uri=${this.cluster.nbdUri(FIO_DEVICE)}`, '--thread']
    const load = ['--rw=randwrite', '--bs=4k', '--iodepth=8', `--offset=${offset}`, `--size=${size}`]
    return [
      ...fixed,
      ...load,
      '--verify=crc32c',
      '--verify_fatal=1',
      '--verify_state_save=0',
      `--randseed=${seed}`,
      ...more,
    ]
  }
}
