/**
 * Who is on stage in a simulated life: the sites with their agents and slinks, the devices, and who is alive.
 *
 * Owns births, deaths and restarts, and the verbs of the operator with the knowledge of what they mean for the cast. It
 * knows what was done to each host; what the programs made of it is for the checkers.
 */
import type { NewMapping, SlinkChange, VerifyReport } from '@sitelink/primary'
import type { AgentHost } from '../pair/agent-host.js'
import { PRIMARY } from '../pair/primary-host.js'
import { MIB } from '../pair/world.js'
import type { Simulation } from './simulation.js'
import { demand, Violation } from './violation.js'

/** A site: an agent, and the slink of the same number while it is there. */
export interface Site {
  readonly slink: number
  readonly agent: AgentHost
  present: boolean
  paused: boolean
  overflow: 'drop' | 'stall' | 'fail'
  dirtyLog: NewMapping['dirtyLog']
  /** Last moment at which a disk of this host was made to fail or to rot. */
  faultMs: number
}

export interface SimDevice {
  readonly number: number
  readonly deviceId: number
  readonly sizeBytes: number
  readonly remote: string
  present: boolean
}

/** A verb that takes longer than this hangs. */
const VERB_MS_MAX = 120_000

/** What was lost is written again at most so often: once is enough, but the log may rot again. */
const RESTORE_MS = 1000

export class Cast {
  readonly sites: Site[]
  readonly devices: SimDevice[] = []
  /** What verifies have found that are over; each is judged once. */
  readonly verified: VerifyReport[] = []
  readonly #sim: Simulation
  #restoreAtMs = 0

  constructor(sim: Simulation) {
    this.#sim = sim
    const { sites } = sim.scenario
    this.sites = sim.world.agents.map((agent, at) => ({
      slink: at + 1,
      agent,
      present: false,
      paused: false,
      overflow: sites[at]?.overflow ?? 'drop',
      dirtyLog: sites[at]?.dirtyLog ?? { type: 'core' },
      faultMs: Number.NEGATIVE_INFINITY,
    }))
  }

  /** Sites with a slink. */
  get present(): readonly Site[] {
    return this.sites.filter(({ present }) => present)
  }

  get presentDevices(): readonly SimDevice[] {
    return this.devices.filter(({ present }) => present)
  }

  /** The device of each id that ever was, as agents call it. */
  get names(): Map<number, string> {
    return new Map(this.devices.map(({ deviceId, remote }) => [deviceId, remote]))
  }

  /** After the world has started: the sites of the scenario are added, some of them after first writes. */
  async begin(): Promise<void> {
    const { world } = this.#sim
    for (const [number, sizeBytes] of world.deviceBytes.entries())
      this.devices.push({ number, deviceId: number + 1, sizeBytes, remote: `dev${number}`, present: true })
    for (const site of this.sites) await this.addSlink(site)
  }

  // --- lives ----------------------------------------------------------------------------------------------------

  async primaryDies(how: 'crash' | 'power-cut' | 'stop'): Promise<void> {
    const { world } = this.#sim
    const { primary } = world
    if (!primary.running) return
    this.#sim.mayFailMs = this.#sim.nowMs
    if (how === 'stop') await this.#ends('the stop of the primary', primary.stop())
    else if (how === 'crash') primary.crash()
    else primary.powerCut()
    await world.advance(0)
  }

  /** Starts it, and again if a disk does not let it. True if it runs. */
  async primaryStarts(): Promise<boolean> {
    const { world } = this.#sim
    if (world.primary.alive) return true
    this.#sim.suspended = false
    try {
      await world.startPrimary()
    } catch (error) {
      this.#cannotStart(PRIMARY, error, this.#sim.primaryFaultMs)
      return false
    }
    for (const site of this.sites) site.present = world.primary.group.slinks.has(site.slink)
    for (const device of this.devices) device.present = world.primary.group.devices.has(device.deviceId)
    this.#sim.mayFailMs = this.#sim.nowMs
    return true
  }

  async agentDies(site: Site, how: 'crash' | 'power-cut' | 'stop'): Promise<void> {
    const { world } = this.#sim
    const { agent } = site
    if (!agent.running) return
    if (how === 'stop') await this.#ends(`the stop of ${agent.name}`, agent.stop())
    else if (how === 'crash') agent.crash()
    else agent.powerCut()
    await world.advance(0)
  }

  /** Starts it; what it finds is held against what its disks held before it looked. */
  async agentStarts(site: Site): Promise<boolean> {
    const { world } = this.#sim
    const { agent } = site
    if (agent.alive) return true
    const replay = await world.run(agent.replayed(this.names))
    try {
      await world.run(agent.start())
    } catch (error) {
      this.#cannotStart(agent.name, error, site.faultMs)
      return false
    }
    this.#sim.agentOpened(site, replay)
    return true
  }

  #cannotStart(who: string, error: unknown, faultMs: number): void {
    if (error instanceof Violation || !(error instanceof Error) || !('code' in error)) throw error
    demand('causes', this.#sim.nowMs - faultMs < 60_000, () => `${who} does not start: ${error.message}`)
    this.#sim.say(`  ${who} does not start: ${error.message}`)
  }

  /** Every fault ends, everybody lives, everything is resumed. */
  async healEverything(): Promise<void> {
    const { world, suspended } = this.#sim
    const { network, primary } = world
    for (const { agent } of this.sites) {
      for (const [from, to] of [[PRIMARY, agent.name] as const, [agent.name, PRIMARY] as const])
        network.setLink(from, to, { bandwidthBytes: Number.POSITIVE_INFINITY, silent: false, flipEveryBytes: 0 })
    }
    for (const host of [primary, ...world.agents]) host.disks.clearFaults()
    for (const site of this.sites) await this.agentStarts(site)
    await this.primaryStarts()
    // A group that a fault has just failed refuses every verb until it is restarted.
    await this.#sim.supervise()
    if (suspended && primary.running) await this.verb('resume the group', () => primary.admin.resume(null))
    this.#sim.suspended = false
    for (const site of this.present) await this.pause(site, false)
    await this.#sim.supervise()
    await this.restoreLost()
  }

  /**
   * What the log lost is written anew, as an operator would from a backup. Clients may be waiting just because of it: a
   * site that cannot be resynced without it. One that fails all writes until it is resynced is told not to, for that.
   */
  async restoreLost(): Promise<void> {
    const { primary } = this.#sim.world
    if (this.#sim.logRots === 0 || !primary.running || this.#sim.nowMs < this.#restoreAtMs) return
    this.#restoreAtMs = this.#sim.nowMs + RESTORE_MS
    const lost = primary.group.writeBack.lostRanges()
    for (const site of this.present)
      if (lost.length > 0 && primary.slink(site.slink).holding === 'fail') await this.change(site, { overflow: 'drop' })
    for (const { deviceId, offset, length } of lost) {
      const device = this.presentDevices.find((one) => one.deviceId === deviceId)
      if (device === undefined) continue
      for (let at = 0; at < length; at += MIB) {
        const bytes = this.#sim.payload(Math.min(MIB, length - at))
        primary.write({ device: device.number, offset: offset + at, bytes })
      }
    }
  }

  // --- verbs ----------------------------------------------------------------------------------------------------

  /** A verb of the operator. True if it was done; false if it was refused for a reason that there may be. */
  async verb(what: string, run: () => Promise<unknown>): Promise<boolean> {
    const { primary } = this.#sim.world
    if (!primary.running) return false
    try {
      await this.#ends(what, run())
      return true
    } catch (error) {
      if (error instanceof Violation || !(error instanceof Error) || !('code' in error)) throw error
      const excused = this.#sim.nowMs - this.#sim.primaryFaultMs < 60_000
      demand('verbs', excused, () => `"${what}" is refused: ${error.message}`)
      this.#sim.say(`  refused: ${error.message}`)
      return false
    }
  }

  async #ends<T>(what: string, promise: Promise<T>): Promise<T> {
    const { clock } = this.#sim.world
    let settled = false
    const done = (): void => void (settled = true)
    promise.then(done, done)
    const startMs = clock.nowMs()
    await clock.settle()
    while (!settled) {
      demand('progress', clock.nowMs() < startMs + VERB_MS_MAX, () => `"${what}" does not end`)
      await clock.advance(1)
      await clock.settle()
    }
    return promise
  }

  async addSlink(site: Site): Promise<void> {
    const { world, scenario, prng } = this.#sim
    const draw = scenario.sites[site.slink - 1]
    if (site.present || draw === undefined) return
    const { dirtyLog: _, ...policy } = draw
    const added = await this.verb(`slink add ${site.slink}`, () =>
      world.primary.admin.addSlink({ ...policy, number: site.slink, addresses: [site.agent.address] }),
    )
    if (!added) return
    site.present = true
    site.paused = false
    site.overflow = policy.overflow ?? 'drop'
    for (const device of this.presentDevices) if (prng.chance(0.9)) await this.map(site, device)
  }

  async deleteSlink(site: Site): Promise<void> {
    if (await this.verb(`slink del ${site.slink}`, () => this.#sim.world.primary.admin.deleteSlink(site.slink, true))) {
      site.present = false
      site.agent.owed.received = 0
      site.agent.owed.durable = 0
    }
  }

  isMapped(site: Site, device: SimDevice): boolean {
    const { primary } = this.#sim.world
    return primary.group.slinks.get(site.slink)?.mappings.get(device.deviceId) !== undefined
  }

  async map(site: Site, device: SimDevice, dirtyLog: NewMapping['dirtyLog'] = site.dirtyLog): Promise<void> {
    await this.verb(`map ${device.number} to ${site.slink}`, () =>
      this.#sim.world.beginMap(device.number, site.slink, { remote: device.remote, initial: 'sync', dirtyLog }),
    )
  }

  async unmap(site: Site, device: SimDevice): Promise<void> {
    await this.verb(`unmap ${device.number} from ${site.slink}`, () =>
      this.#sim.world.primary.admin.unmap(device.number, site.slink),
    )
  }

  /** A new device, here and at every agent. */
  async addDevice(sizeBytes: number = MIB): Promise<void> {
    const { world } = this.#sim
    const { primary } = world
    const number = this.devices.length
    const deviceId = primary.group.config.nextDeviceId
    const remote = `dev${number}`
    for (const { agent } of this.sites) {
      agent.addDevice(remote, sizeBytes)
      if (agent.running)
        await this.#ends('device add at an agent', agent.agent.addDevice({ name: remote, path: `/dev/${remote}` }))
    }
    primary.disks.addDevice(`/dev/local${number}`, sizeBytes)
    const wish = { number, path: `/dev/local${number}`, name: remote, sizeBytes }
    const device = { number, deviceId, sizeBytes, remote, present: false }
    this.devices.push(device)
    primary.history.addDevice({ deviceId, sizeBytes })
    if (await this.verb(`device add ${number}`, () => primary.admin.addDevice(wish))) device.present = true
    else if (primary.running) device.present = primary.group.devices.has(deviceId)
  }

  async deleteDevice(device: SimDevice): Promise<void> {
    // Writes that wait for room in the log fail with their device.
    this.#sim.mayFailMs = this.#sim.nowMs
    if (
      await this.verb(`device del ${device.number}`, () =>
        this.#sim.world.primary.admin.deleteDevice(device.number, true),
      )
    )
      device.present = false
  }

  async pause(site: Site, paused: boolean): Promise<void> {
    if (site.paused === paused) return
    if (await this.change(site, { paused })) site.paused = paused
  }

  async change(site: Site, change: SlinkChange): Promise<boolean> {
    // From the moment of the command on, not only once it is done.
    if (change.overflow === 'fail') this.#sim.mayFailMs = this.#sim.nowMs
    const done = await this.verb(`slink set ${site.slink} ${JSON.stringify(change)}`, () =>
      this.#sim.world.primary.admin.changeSlink(site.slink, change),
    )
    if (done && change.overflow !== undefined) site.overflow = change.overflow
    return done
  }
}
