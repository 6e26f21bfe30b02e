/**
 * A primary and its agents as real processes, with small devices in temporary folders, driven by the words of the
 * command line.
 *
 * Owns the processes, their state, logs, journals and devices, and a cutting proxy in front of each agent, for TCP and UDP. Each cluster
 * has loopback addresses of its own, so that ports never collide and an agent comes back under its old address. Daemons
 * are asked on their control sockets, because that is faster than a process for each question; the answers are those of
 * `status --json`.
 */
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ControlClient } from '@sitelink/daemon'
import { NbdClient } from '@sitelink/nbd'
import type { LinkScheme } from './carriers.js'
import { LinkProxy } from './link-proxy.js'
import { agentProgram, primaryProgram, removeFolder, temporaryFolder } from './places.js'
import { mustRun, Program, runCommand, type RunResult } from './program.js'
import { type AgentStatus, isApplied, isInStep, type Lsn, type PrimaryStatus, slinkOf } from './status-shape.js'
import { waitFor, type WaitOptions } from './wait-for.js'

const MIB = 1024 * 1024

export interface DeviceSpec {
  readonly name: string
  readonly sizeBytes: number
}

export interface SlinkSpec {
  /** Words behind `slink add N --to ADDRESS`, as `['--policy', 'sync']`. */
  readonly words: readonly string[]
  /** Words behind `device map N --slink M --remote NAME`. Default: `--dirty-log disk --region-size 1m --sync`. */
  readonly mapWords?: readonly string[]
  /** Words behind `sitelink-agent init --state DIR`. */
  readonly agentWords?: readonly string[]
  /** Folder of its state and journal. Default: one in the cluster's. Its devices are in the cluster's in any case. */
  readonly folder?: string
  /** Address that the agent listens on. Default: a loopback address of its own. */
  readonly host?: string
  /** Words in front of the agent's command, as those that put it into a network namespace. */
  readonly launcher?: readonly string[]
}

export interface ClusterSpec {
  readonly label: string
  /** How primary and agents meet: over plain TCP, or enrolled over another. Default: `tcp`. */
  readonly scheme?: LinkScheme
  readonly devices?: readonly DeviceSpec[]
  readonly logSize?: string
  /** More words behind `sitelink init`. */
  readonly initWords?: readonly string[]
  readonly slinks?: readonly SlinkSpec[]
  /** Folder of the primary's state. Default: one in the cluster's. Log and devices are in the cluster's in any case. */
  readonly primaryFolder?: string
  /** Folder that gets the whole output of every daemon, a file each. Default: only the last of it is kept, in memory. */
  readonly logFolder?: string
}

/** Plain TCP has to be asked for. */
const PLAIN = '--insecure-plain'

let clusters = 0

/** One agent and its place. */
export class AgentSite {
  readonly state: string
  readonly journal: string
  program: Program | null = null
  readonly #control: ControlClient

  constructor(
    readonly slink: number,
    folder: string,
    readonly host: string,
    readonly proxy: LinkProxy,
    readonly devices: readonly { readonly name: string; readonly path: string }[],
    private readonly launcher: readonly string[],
    private readonly logFolder: string | undefined,
    /** What it listens with from its next start on. */
    public scheme: LinkScheme,
  ) {
    this.state = join(folder, 'state')
    this.journal = join(folder, 'journal')
    this.#control = new ControlClient(this.state)
  }

  /** A verb of `sitelink-agent`; `--state` is added. */
  run(...words: string[]): Promise<RunResult> {
    return runCommand(agentProgram, [...words, '--state', this.state])
  }

  /** What a primary is told behind `--to`: the address of the proxy, or a new token with it. */
  async toWords(): Promise<string[]> {
    return this.scheme === 'tcp' ? [this.address(), PLAIN] : [await this.invite()]
  }

  /** Where a primary reaches it: by the proxy, or straight. */
  address({ straight = false, scheme = this.scheme } = {}): string {
    const { host, port } = straight ? { host: this.host, port: 7373 } : this.proxy
    return `${scheme}://${host}:${port}`
  }

  /** A new token, with the address of the proxy. `words`: more behind `invite`. */
  async invite(...words: string[]): Promise<string> {
    const address = this.address(this.scheme === 'tcp' ? { scheme: 'tls' } : {})
    const all = ['invite', '--address', address, ...words, '--state', this.state]
    return (await mustRun(agentProgram, all)).stdout.trim()
  }

  /** Starts the daemon and waits until it answers. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    await answers(this.launch(env), this.#control)
  }

  /** Starts the daemon and waits for nothing. */
  launch(env: Readonly<Record<string, string>> = {}): Program {
    const [first, ...more] = this.launcher
    const listen = `${this.scheme}://${this.host}:7373`
    const words = ['run', '--state', this.state, '--listen', listen, ...(this.scheme === 'tcp' ? [PLAIN] : [])]
    const all = first === undefined ? words : [...more, process.execPath, agentProgram, ...words]
    const options = { env, ...logOf(this.logFolder, `agent-${this.slink}`) }
    return (this.program = Program.start(`agent ${this.slink}`, first ?? agentProgram, all, options))
  }

  /** Resolves when the daemon that was launched answers; rejects with its output if it ends before. */
  async answers(): Promise<void> {
    if (this.program !== null) await answers(this.program, this.#control)
  }

  /** kill -9, if it runs. */
  async kill(): Promise<void> {
    await this.program?.kill()
    this.program = null
  }

  async stop(): Promise<void> {
    const report = await this.program?.stop()
    const output = this.program?.output
    this.program = null
    if (report && report.status !== 0) throw new Error(`the agent stopped with ${JSON.stringify(report)}\n${output}`)
  }

  status(): Promise<AgentStatus> {
    return this.#control.call<AgentStatus>('status', {}, { timeoutMs: 30_000 })
  }

  /** Resolves when the agent has applied all that it may. Only meaningful while nothing arrives. */
  applied(options?: WaitOptions): Promise<AgentStatus> {
    return waitFor(
      `agent ${this.slink} to have applied its journal`,
      async () => {
        const status = await this.status()
        return isApplied(status) ? status : null
      },
      options,
    )
  }

  /** Resolves when everything up to the entry is on its devices: what it may apply follows what the primary has durably. */
  reached(lsn: Lsn, options?: WaitOptions): Promise<AgentStatus> {
    return waitFor(
      `agent ${this.slink} to have applied LSN ${lsn}`,
      async () => {
        const status = await this.status()
        return Number(status.replica?.appliedLsn ?? 0) >= Number(lsn) ? status : null
      },
      options,
    )
  }

  /** The bytes of its copies, by device. */
  images(): Promise<Buffer[]> {
    return Promise.all(this.devices.map(({ path }) => readFile(path)))
  }
}

export class Cluster {
  readonly folder: string
  readonly state: string
  readonly devices: readonly (DeviceSpec & { readonly path: string })[]
  readonly agents: AgentSite[] = []
  program: Program | null = null
  readonly #control: ControlClient
  readonly #spec: ClusterSpec

  private constructor(spec: ClusterSpec) {
    this.#spec = spec
    this.folder = temporaryFolder(spec.label)
    this.state = join(spec.primaryFolder ?? join(this.folder, 'primary'), 'state')
    this.#control = new ControlClient(this.state)
    const specs = spec.devices ?? [
      { name: 'data', sizeBytes: 4 * MIB },
      { name: 'journal', sizeBytes: 4 * MIB },
    ]
    this.devices = specs.map((device) => ({ ...device, path: join(this.folder, 'primary', `${device.name}.img`) }))
  }

  /** Makes and starts everything: devices of zeros, agents, primary, slinks and mappings. */
  static async start(spec: ClusterSpec): Promise<Cluster> {
    const cluster = new Cluster(spec)
    try {
      await cluster.#make()
    } catch (error) {
      await cluster.close()
      throw error
    }
    return cluster
  }

  async #make(): Promise<void> {
    mkdirSync(join(this.folder, 'primary'), { recursive: true })
    for (const device of this.devices) makeDevice(device.path, device.sizeBytes)
    for (const [at, slink] of (this.#spec.slinks ?? []).entries()) await this.#makeAgent(at + 1, slink)
    const log = join(this.folder, 'primary', 'log')
    await this.must('init', '--log', log, '--log-size', this.#spec.logSize ?? '16m', ...(this.#spec.initWords ?? []))
    await this.startPrimary()
    for (const [number, device] of this.devices.entries()) {
      await this.must('device', 'add', String(number), device.path, '--name', device.name)
    }
    for (const agent of this.agents) {
      const spec = this.#spec.slinks?.[agent.slink - 1]
      await this.must('slink', 'add', String(agent.slink), '--to', ...(await agent.toWords()), ...(spec?.words ?? []))
      const words = spec?.mapWords ?? ['--dirty-log', 'disk', '--region-size', '1m', '--sync']
      for (const [number, device] of this.devices.entries()) {
        const slink = String(agent.slink)
        await this.must('device', 'map', String(number), '--slink', slink, '--remote', device.name, ...words)
      }
    }
  }

  async #makeAgent(slink: number, spec: SlinkSpec): Promise<void> {
    const folder = join(this.folder, `agent-${slink}`)
    mkdirSync(folder, { recursive: true })
    const id = process.pid * 16 + (clusters++ % 16)
    const host = spec.host ?? `127.${64 + ((id >> 16) & 63)}.${(id >> 8) & 255}.${id & 255}`
    const proxy = await LinkProxy.listen({ targetHost: host, targetPort: 7373 })
    const devices = this.devices.map(({ name }) => ({ name, path: join(folder, `${name}.img`) }))
    const place = spec.folder ?? folder
    const { logFolder, scheme = 'tcp' } = this.#spec
    const agent = new AgentSite(slink, place, host, proxy, devices, spec.launcher ?? [], logFolder, scheme)
    this.agents.push(agent)
    await mustRun(agentProgram, ['init', '--state', agent.state, ...journalWords(agent), ...(spec.agentWords ?? [])])
    for (const [at, { name, path }] of devices.entries()) {
      makeDevice(path, this.devices[at]?.sizeBytes ?? 0)
      await mustRun(agentProgram, ['device', 'add', name, path, '--state', agent.state])
    }
    await agent.start()
  }

  /** A verb of `sitelink`; `--state` is added. */
  run(...words: string[]): Promise<RunResult> {
    return runCommand(primaryProgram, [...words, '--state', this.state])
  }

  /** As {@link run}, but anything other than status 0 throws. */
  must(...words: string[]): Promise<RunResult> {
    return mustRun(primaryProgram, [...words, '--state', this.state])
  }

  /** Starts the primary's daemon and waits until it answers. */
  async startPrimary(env: Readonly<Record<string, string>> = {}): Promise<void> {
    await answers(this.launchPrimary(env), this.#control)
  }

  /** Starts the primary's daemon and waits for nothing. */
  launchPrimary(env: Readonly<Record<string, string>> = {}): Program {
    const options = { env, ...logOf(this.#spec.logFolder, 'primary') }
    return (this.program = Program.start('primary', primaryProgram, ['run', '--state', this.state], options))
  }

  /** Resolves when the primary that was launched answers; rejects with its output if it ends before. */
  async primaryAnswers(): Promise<void> {
    if (this.program !== null) await answers(this.program, this.#control)
  }

  /** kill -9, if it runs. */
  async killPrimary(): Promise<void> {
    await this.program?.kill()
    this.program = null
  }

  /** A clean stop: everything is on the local devices afterwards. */
  async stopPrimary(): Promise<void> {
    const report = await this.program?.stop()
    const output = this.program?.output
    this.program = null
    if (report && report.status !== 0) throw new Error(`the primary stopped with ${JSON.stringify(report)}\n${output}`)
  }

  agent(slink = 1): AgentSite {
    const agent = this.agents.find((each) => each.slink === slink)
    if (agent === undefined) throw new Error(`there is no agent for slink ${slink}`)
    return agent
  }

  status(): Promise<PrimaryStatus> {
    return this.#control.call<PrimaryStatus>('status', {}, { timeoutMs: 30_000 })
  }

  /** Resolves when a slink's site has everything, durably. */
  inStep(slink = 1, options?: WaitOptions): Promise<PrimaryStatus> {
    return waitFor(
      `slink ${slink} to be in step`,
      async () => {
        const status = await this.status()
        return isInStep(slinkOf(status, slink)) ? status : null
      },
      options,
    )
  }

  /**
   * Resolves when a slink is in step and everything is on its agent's devices. That follows by a moment: a site may apply
   * only what the primary has durably, and gathers what it applies.
   */
  async applied(slink = 1): Promise<void> {
    const { log } = await this.inStep(slink)
    await this.agent(slink).reached(log.lastLsn)
  }

  get nbdSocket(): string {
    return join(this.state, 'nbd.sock')
  }

  /** The URI of an export, as libnbd and QEMU take it. */
  nbdUri(name: string): string {
    return `nbd+unix:///${name}?socket=${this.nbdSocket}`
  }

  connect(name: string): Promise<NbdClient> {
    return NbdClient.connect({ path: this.nbdSocket }, { export: name })
  }

  /** What the primary answers to reads of whole devices. */
  async images(): Promise<Buffer[]> {
    return Promise.all(
      this.devices.map(async ({ name, sizeBytes }) => {
        const client = await this.connect(name)
        try {
          const parts: Buffer[] = []
          for (let at = 0; at < sizeBytes; at += MIB) parts.push(await client.read(at, Math.min(MIB, sizeBytes - at)))
          return Buffer.concat(parts)
        } finally {
          await client.disconnect()
        }
      }),
    )
  }

  /** What the daemons say of themselves, and what they said last, for the report of a failure. */
  async report(): Promise<string> {
    const sites = [this as { program: Program | null; status(): Promise<unknown> }, ...this.agents]
    const parts = sites.map(async (site) => {
      if (site.program === null) return []
      const status = await site.status().then(JSON.stringify, String)
      return [`--- ${site.program.name}`, site.program.output.slice(-4000), status]
    })
    return (await Promise.all(parts)).flat().join('\n')
  }

  /** Ends every process and removes every file. */
  async close(): Promise<void> {
    await this.killPrimary()
    for (const agent of this.agents) {
      await agent.kill()
      await agent.proxy.close()
    }
    removeFolder(this.folder)
  }
}

function logOf(folder: string | undefined, name: string): { logPath?: string } {
  return folder === undefined ? {} : { logPath: join(folder, `${name}.log`) }
}

function journalWords({ journal }: AgentSite): string[] {
  return ['--journal', journal, '--journal-size', '32m']
}

function makeDevice(path: string, sizeBytes: number): void {
  writeFileSync(path, '')
  truncateSync(path, sizeBytes)
}

/** Resolves when the daemon answers on its control socket; rejects with its output if it ends before. */
async function answers(program: Program, control: ControlClient): Promise<void> {
  await waitFor(`${program.name} to answer`, async () => {
    if (program.exit !== null) return 'ended'
    const hello = await control.hello({ timeoutMs: 30_000 })
    return hello.verbs.includes('status')
  })
  if (program.exit !== null) {
    throw new Error(`${program.name} ended with ${JSON.stringify(program.exit)}\n${program.output}`)
  }
}
