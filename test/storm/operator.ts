/**
 * The operator in the storm: verbs of the real command line, while everything breaks.
 *
 * Looks before each verb what would be right to ask. A verb may fail because the daemon is away (69), the moment is wrong
 * (75), or its disk is full (73, 74); anything else is a violation, and so is any failure once everything is mended.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { agentProgram, primaryProgram } from '../support/places.js'
import { runCommand, type RunResult } from '../support/program.js'
import type { SlinkStatus } from '../support/status-shape.js'
import { type Cast, siteOf } from './cast.js'
import type { Step } from './plan.js'
import type { Sampler } from './sampler.js'
import type { SiteJudge } from './site-judge.js'
import type { Trace } from './trace.js'

type VerbStep = Extract<Step, { kind: 'verb' }>

const STATUS_AWAY = 69
const STATUS_LATER = 75
const DISK_STATUSES = [73, 74]
/** `resync` follows a resync to its end; in a storm nobody waits for that. */
const RESYNC_MS_MAX = 4000
const VERB_MS_MAX = 60_000

const POLICIES = {
  1: [
    ['--policy', 'sync', '--ack', 'received', '--overflow', 'stall'],
    ['--policy', 'sync', '--ack', 'durable', '--overflow', 'stall'],
    ['--policy', 'sync', '--ack', 'received', '--overflow', 'drop', '--hold', '1s'],
    ['--policy', 'sync', '--ack', 'durable', '--overflow', 'drop', '--hold', '2s'],
  ],
  2: [
    ['--policy', 'async', '--overflow', 'drop'],
    ['--policy', 'async', '--overflow', 'stall'],
  ],
} as const

const LIMITS = ['none', 'ios=200,resume=50%', 'size=1m', 'timeout=2s', 'ios=1000,size=4m,timeout=5s']
const RATES = ['0', '1m', '8m']

/** What `slink ls --json` says, whether a daemon runs or not. */
interface SlinkConfig {
  readonly number: number
  readonly mappings: readonly { readonly deviceId: number }[]
}

/** What a status says more of a slink than the other tests read. */
type SlinkReport = SlinkStatus & {
  readonly paused: boolean
  readonly overflow: string
  readonly resyncBytesPerSecond: number
  readonly devices: readonly { readonly device: number }[]
}

export class Operator {
  constructor(
    private readonly cast: Cast,
    private readonly trace: Trace,
    private readonly judge: SiteJudge,
    private readonly sampler: Sampler,
  ) {}

  async perform({ verb, slink, choice, forMs }: VerbStep): Promise<void> {
    const number = String(slink)
    switch (verb) {
      case 'pause':
        await this.#verb('slink', 'pause', number)
        await delay(forMs)
        await this.#verb('slink', 'resume', number)
        return
      case 'resync':
        await this.#resync(number)
        return
      case 'resync-full':
        this.#lift(slink)
        await this.#resync(number, '--full')
        return
      case 'remap':
        await this.#remap(slink, choice % this.cast.cluster.devices.length, forMs)
        return
      case 'policy': {
        const words = POLICIES[slink === 1 ? 1 : 2]
        this.#lift(slink)
        await this.#verb('slink', 'set', number, ...(words[choice % words.length] ?? []))
        return
      }
      case 'fall-behind':
        // Only an asynchronous site has limits.
        await this.#verb('slink', 'set', '2', '--fall-behind', LIMITS[choice % LIMITS.length] ?? 'none')
        return
      case 'rate':
        await this.#verb('slink', 'set', number, '--resync-rate', RATES[choice % RATES.length] ?? '0')
        return
      case 'path':
        await this.#path(slink)
        return
      case 'status':
        await this.#status(slink)
    }
  }

  /**
   * Everything runs: whatever was left half done is done, and every verb has to work. `stalling`: the synchronous site
   * stalls again, so that the next round may ask for everything acknowledged.
   */
  async settle({ stalling }: { stalling: boolean }): Promise<void> {
    const { cluster } = this.cast
    const { slinks } = await cluster.status()
    for (const { number, paused, resyncBytesPerSecond, overflow, devices } of slinks as readonly SlinkReport[]) {
      const slink = String(number)
      if (paused) await cluster.must('slink', 'resume', slink)
      if (resyncBytesPerSecond > 0) await cluster.must('slink', 'set', slink, '--resync-rate', '0')
      if (number === 1 && stalling && overflow !== 'stall') await cluster.must('slink', 'set', slink, ...POLICIES[1][0])
      for (let device = 0; device < cluster.devices.length; device++)
        if (!devices.some((each) => each.device === device)) await this.#map(device, number, true)
    }
  }

  async #remap(slink: number, device: number, forMs: number): Promise<void> {
    this.#lift(slink)
    await this.#verb('device', 'unmap', String(device), '--slink', String(slink))
    await delay(forMs)
    const now = (await this.#slinks().catch(() => [])).find(({ number }) => number === slink)
    if (now === undefined || now.mappings.some(({ deviceId }) => deviceId === device + 1)) return
    await this.#map(device, slink, false)
  }

  async #map(device: number, slink: number, must: boolean): Promise<void> {
    const { cluster } = this.cast
    const words = ['device', 'map', String(device), '--slink', String(slink)]
    words.push('--remote', cluster.devices[device]?.name ?? '', '--dirty-log', 'disk', '--region-size', '1m', '--sync')
    if (must) await cluster.must(...words)
    else await this.#verb(...words)
  }

  async #path(slink: number): Promise<void> {
    const { cast } = this
    const straight = !(cast.straight.get(slink) ?? false)
    const to = cast.toWords(cast.cluster.agent(slink), straight)
    const { status } = await this.#verb('slink', 'set', String(slink), '--to', ...to)
    if (status === 0) cast.straight.set(slink, straight)
  }

  async #status(slink: number): Promise<void> {
    const { cluster } = this.cast
    const primary = await this.#verb('status', '--json')
    const daemon = this.cast.daemon('primary')
    if (primary.status === 0) this.sampler.judge(daemon, JSON.parse(primary.stdout), null)
    const agent = await runCommand(agentProgram, ['status', '--json', '--state', cluster.agent(slink).state])
    this.#judge('sitelink-agent status', agent, this.cast.daemon(siteOf(slink)).disk?.full === true)
    if (agent.status === 0) this.sampler.judge(this.cast.daemon(siteOf(slink)), JSON.parse(agent.stdout), null)
  }

  async #resync(...words: string[]): Promise<void> {
    const all = ['resync', ...words, '--wait', '1s', '--state', this.cast.cluster.state]
    const result = await runCommand(primaryProgram, all, { timeoutMs: RESYNC_MS_MAX })
    if (result.signal === null) this.#judge(`resync ${words.join(' ')}`, result, this.#diskFull)
  }

  async #verb(...words: string[]): Promise<RunResult> {
    const all = [...words, '--state', this.cast.cluster.state]
    const result = await runCommand(primaryProgram, all, { timeoutMs: VERB_MS_MAX })
    this.#judge(words.join(' '), result, this.#diskFull)
    return result
  }

  #judge(words: string, result: RunResult, diskFull: boolean): void {
    this.trace.say(`operator: ${words} -> ${result.signal ?? result.status} ${result.stderr.split('\n')[0]}`)
    this.trace.count(result.status === 0 ? 'verbs done' : 'verbs put off')
    const { status } = result
    const excused = status === 0 || status === STATUS_AWAY || status === STATUS_LATER
    if (excused || (diskFull && DISK_STATUSES.includes(status ?? 0))) return
    this.trace.fail(`${words} ended with ${result.signal ?? status}\n${result.stdout}${result.stderr}`)
  }

  /** The group as it is configured, whether the daemon runs or not. */
  async #slinks(): Promise<SlinkConfig[]> {
    const { stdout } = await this.cast.cluster.must('slink', 'ls', '--json')
    return JSON.parse(stdout) as SlinkConfig[]
  }

  get #diskFull(): boolean {
    return this.cast.daemon('primary').diskExcuses
  }

  /** What follows lifts the protection of the synchronous site. */
  #lift(slink: number): void {
    if (slink === 1) this.judge.strict = false
  }
}
