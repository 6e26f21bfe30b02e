/**
 * A Sitelink primary and its agents, started as an operator starts them: with the words of the two programs, on files of a
 * folder, over loopback TCP.
 *
 * Owns their processes, states, logs and journals; device files that the caller names are used as they are. It asks the
 * daemons on their control sockets, which costs less than a process for each question; the answers are those of
 * `status --json`. It measures nothing.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../../scripts/lib/workspace.mjs'
import { compiled } from './compiled.mjs'
import { makeDevice } from './place.mjs'
import { freePort, mustRun, Program, until } from './processes.mjs'

const primaryProgram = join(root, 'packages', 'primary', 'bin', 'sitelink.js')
const agentProgram = join(root, 'packages', 'agent', 'bin', 'sitelink-agent.js')
const MIB = 1024 * 1024

/** One agent. `start`, `stop` and `kill` may be called again and again: it comes back under its old address. */
export class Agent {
  program = null
  #control

  constructor(slink, folder, port, control, devices) {
    this.slink = slink
    this.state = join(folder, 'state')
    this.journal = join(folder, 'journal')
    this.port = port
    this.devices = devices
    this.#control = control
  }

  async start() {
    const words = ['run', '--state', this.state, '--listen', `tcp://127.0.0.1:${this.port}`, '--insecure-plain']
    this.program = new Program(`agent ${this.slink}`, agentProgram, words)
    await this.program.ready(() => answers(this.#control))
  }

  status() {
    return this.#control.call('status', {}, { timeoutMs: 30_000 })
  }

  stop() {
    return end(this, 'stop')
  }

  kill() {
    return end(this, 'kill')
  }

  /** A verb of `sitelink-agent`; `--state` is added. */
  cli(...words) {
    return mustRun(agentProgram, [...words, '--state', this.state])
  }
}

export class Pair {
  program = null
  agents = []
  #control

  constructor(folder, control) {
    this.state = join(folder, 'primary')
    this.log = join(folder, 'log')
    this.#control = control
  }

  /**
   * Makes and starts everything, and waits until every site is live and clean.
   *
   * - `folder`: an empty one, for everything that is made
   * - `devices`: `{ name, bytes, path, remotePaths }`; files that are not named are made and written once
   * - `agents`: `{ words, mapWords, initWords, address }`: behind `slink add N --to ADDRESS`, `device map N --slink M
   *   --remote NAME` and `sitelink-agent init`; `address(port)` answers another address than the agent's own, as that of a
   *   proxy in front of it
   * - `logBytes`, `journalBytes`, `initWords`: of the log and of each agent's journal
   */
  static async start({
    folder,
    devices,
    agents = [{}],
    logBytes = 1024 * MIB,
    journalBytes = 256 * MIB,
    initWords = [],
  }) {
    const { ControlClient } = await compiled()
    const pair = new Pair(folder, new ControlClient(join(folder, 'primary')))
    try {
      await pair.#make({ folder, devices, agents, logBytes, journalBytes, initWords, ControlClient })
      await pair.inStep()
    } catch (error) {
      await pair.kill()
      throw error
    }
    return pair
  }

  async #make({ folder, devices, agents, logBytes, journalBytes, initWords, ControlClient }) {
    const filled = devices.map((device) => ({ ...device, path: device.path ?? made(folder, device) }))
    // Both hosts at once, as they are two: a start of a program takes long beside what it does here.
    const sites = agents.map((spec, at) => this.#makeAgent(folder, at, filled, { spec, journalBytes, ControlClient }))
    await allOf([this.#makePrimary(filled, ['--log-size', String(logBytes), ...initWords]), ...sites])
    for (const [at, spec] of agents.entries()) {
      const { slink, port } = this.agents[at]
      const address = (await spec.address?.(port)) ?? `tcp://127.0.0.1:${port}`
      await this.cli(
        'slink',
        'add',
        String(slink),
        '--to',
        address,
        '--insecure-plain',
        ...(spec.words ?? ['--policy', 'async']),
      )
      const words = spec.mapWords ?? ['--dirty-log', 'disk', '--sync']
      for (const [number, { name }] of filled.entries()) {
        await this.cli('device', 'map', String(number), '--slink', String(slink), '--remote', name, ...words)
      }
    }
  }

  async #makePrimary(devices, words) {
    await this.cli('init', '--log', this.log, ...words)
    await this.startPrimary()
    for (const [at, { name, path }] of devices.entries()) {
      await this.cli('device', 'add', String(at), path, '--name', name)
    }
  }

  async #makeAgent(folder, at, devices, { spec, journalBytes, ControlClient }) {
    const place = join(folder, `agent-${at + 1}`)
    mkdirSync(place, { recursive: true })
    const copies = devices.map((device) => ({
      name: device.name,
      path: device.remotePaths?.[at] ?? made(place, device),
    }))
    const agent = new Agent(at + 1, place, await freePort(), new ControlClient(join(place, 'state')), copies)
    this.agents[at] = agent
    const size = ['--journal', agent.journal, '--journal-size', String(journalBytes)]
    await agent.cli('init', ...size, ...(spec.initWords ?? []))
    for (const copy of copies) await agent.cli('device', 'add', copy.name, copy.path)
    await agent.start()
  }

  async startPrimary() {
    this.program = new Program('primary', primaryProgram, ['run', '--state', this.state])
    await this.program.ready(() => answers(this.#control))
  }

  /** A verb of `sitelink`; `--state` is added. */
  cli(...words) {
    return mustRun(primaryProgram, [...words, '--state', this.state])
  }

  /** What `sitelink status --json` prints. */
  status() {
    return this.#control.call('status', {}, { timeoutMs: 30_000 })
  }

  /** Waits until every site is live and has everything, and nothing is dirty at either side. */
  async inStep({ timeoutMs = 600_000 } = {}) {
    await until('every site to be in step', async () => (await this.status()).slinks.every(isInStep), { timeoutMs })
  }

  /** Waits until everything that was written so far is applied here and at every site, as `sitelink drain` does. */
  async drain() {
    const steps = this.#control.stream('drain', {})
    while (!(await steps.next()).done);
  }

  get nbdSocket() {
    return join(this.state, 'nbd.sock')
  }

  /** The URI of an export, as fio, libnbd and QEMU take it. */
  uri(name) {
    return `nbd+unix:///${name}?socket=${this.nbdSocket}`
  }

  /** Processes that run, for accounts. */
  get pids() {
    return [this, ...this.agents].flatMap(({ program }) => (program === null ? [] : [program.pid]))
  }

  async stopPrimary() {
    await end(this, 'stop')
  }

  async killPrimary() {
    await end(this, 'kill')
  }

  /** A clean stop of everything: the primary first, so that the agents get what it still has for them. */
  async stop() {
    await this.stopPrimary()
    for (const agent of this.agents) await agent.stop()
  }

  async kill() {
    await this.killPrimary()
    for (const agent of this.agents) await agent?.kill()
  }
}

/** Everything that was written is durable at that site, and nothing is dirty at either side. */
export function isInStep(slink) {
  return (
    slink.state === 'live' &&
    slink.lagWrites === 0 &&
    slink.lagBytes === 0 &&
    slink.dirtyRegions === 0 &&
    slink.agentDirtyRegions === 0 &&
    slink.agentConsistent === true
  )
}

/** As Promise.all, but waits for all of them also if one fails: nothing is still being made when the caller cleans up. */
async function allOf(promises) {
  const ends = await Promise.allSettled(promises)
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

function made(folder, { name, bytes }) {
  const path = join(folder, `${name}.img`)
  makeDevice(path, bytes)
  return path
}

async function answers(control) {
  return (await control.hello({ timeoutMs: 5000 }).catch(() => null)) !== null
}

async function end(holder, how) {
  const { program } = holder
  holder.program = null
  const exit = await program?.[how]()
  if (how === 'stop' && program !== null && exit !== 0) {
    throw new Error(`${program.name} stopped with ${exit}\n${program.output.trim()}`)
  }
}
