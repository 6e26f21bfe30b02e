/**
 * A random life of a pair: writers over two devices, faults of every kind, and checks wherever one can be made.
 *
 * Everything is drawn from one seed: the policies, the sizes, the writes, the faults and their moments. After every
 * death of an agent its devices with its journal laid over are compared with the history; after every death of the
 * primary the log is held to what it acknowledged; now and then everything heals, and both sides must become equal in
 * bounded time.
 */
import assert from 'node:assert/strict'
import type { SlinkChange } from '@sitelink/primary'
import type { Prng, SparseBytes } from '@sitelink/storage/testing'
import type { AgentHost } from './agent-host.js'
import { PRIMARY } from './primary-host.js'
import { MIB, World } from './world.js'

/** What a storm is about; the rest is drawn. */
export interface StormProfile {
  readonly mode: 'sync' | 'async'
  /** Default 30. */
  readonly steps?: number
}

type Step = () => Promise<void> | void

/** Time in which everything must be in order after the last fault. */
const HEAL_MS_MAX = 60_000

/** See the head of this file. */
export class Storm {
  readonly world: World
  readonly #prng: Prng
  readonly #profile: StormProfile
  readonly #trace: string[] = []
  #paused = false
  #slow: boolean

  constructor(seed: string, profile: StormProfile) {
    const draw = new World({ seed }).prng.fork('draw')
    this.#slow = draw.chance(0.4)
    this.world = new World({
      seed,
      // With few regions everything is soon dirty, with many a region that was forgotten shows.
      deviceBytes: draw.chance(0.3) ? [7 * MIB, 12 * MIB + 4096] : [MIB, 2 * MIB + 4096],
      logBytes: draw.pick([2, 2, 3, 8]) * MIB,
      journalBytes: draw.pick([4, 4, 6]) * MIB,
      link: {
        latencyMs: draw.pick([0, 1, 10, 40]),
        jitterMs: draw.pick([0, 0, 5]),
        segmentBytesMin: draw.pick([1, 1000, 65_536]),
        segmentBytesMax: 65_536,
      },
      ...(this.#slow ? { diskLatency: { readMs: [0, 2], writeMs: [0, 4], syncMs: [0, 20] } } : {}),
    })
    this.#prng = draw.fork('storm')
    this.#profile = profile
  }

  /** What was done so far, one line a step. */
  get trace(): readonly string[] {
    return this.#trace
  }

  async run(): Promise<void> {
    const prng = this.#prng
    await this.world.start()
    await this.write(prng.between(0, 10))
    await this.world.addSite({
      mode: this.#profile.mode,
      ack: prng.pick(['received', 'durable']),
      overflow: prng.pick(['drop', 'drop', 'stall', 'fail']),
      holdMs: prng.pick([null, 200, 2000]),
      fallBehind:
        this.#profile.mode === 'async' && prng.chance(0.4)
          ? { ios: prng.pick([0, 5, 50]), bytes: prng.pick([0, 100_000]), timeoutMs: prng.pick([0, 300]) }
          : { ios: 0, bytes: 0, timeoutMs: 0 },
      dirtyLog: prng.chance(0.7) ? { type: 'disk', path: null } : { type: 'core' },
      initial: 'sync',
    })
    const steps = this.#profile.steps ?? 30
    for (let step = 0; step < steps; step++) {
      await this.#step()
      if (step % 15 === 14) await this.heal()
    }
    await this.heal()
  }

  async #step(): Promise<void> {
    const { world } = this
    const { primary, agent } = world
    const prng = this.#prng
    const choices: [number, string, Step][] = [
      [30, 'write', () => this.write(prng.between(1, 25))],
      [12, 'wait', () => world.advance(prng.pick([1, 20, 100, 700]))],
      [3, 'wait long', () => world.advance(prng.between(2000, 6000))],
      [5, 'cut the link', () => world.cut()],
      [3, 'silence', () => world.silence()],
      [
        2,
        'silence one way',
        () =>
          world.silenceOneWay(
            ...prng.pick([
              [PRIMARY, agent.name],
              [agent.name, PRIMARY],
            ] as [string, string][]),
          ),
      ],
      [7, 'speak', () => world.silence(agent, false)],
      [3, 'narrow link', () => this.#narrow()],
      [7, 'agent crashes', () => this.agentDies('crash')],
      [6, 'agent loses power', () => this.agentDies('power-cut')],
      [2, 'agent stops', () => this.agentDies('stop')],
      [14, 'agent starts', () => this.agentStarts()],
      [5, 'primary crashes', () => this.primaryDies('crash')],
      [5, 'primary loses power', () => this.primaryDies('power-cut')],
      [2, 'primary stops', () => this.primaryDies('stop')],
      [3, 'pause', () => this.#pause(true)],
      [6, 'resume', () => this.#pause(false)],
      [2, 'change', () => this.#change()],
      [1, 'full resync', () => this.#fullResync()],
      [2, 'map again', () => this.#mapAgain()],
    ]
    let at = prng.below(choices.reduce((sum, [weight]) => sum + weight, 0))
    const [, name, run] = choices.find(([weight]) => (at -= weight) < 0) as [number, string, Step]
    this.#trace.push(
      `${world.clock.nowMs()} ms: ${name}${primary.running ? `, LSN ${primary.history.lastLsn}, ${primary.group.slinks.has(1) ? primary.word() : ''}` : ''}`,
    )
    await run()
    if (primary.running && agent.running) world.checkOwed(agent)
    if (primary.running && primary.group.failure !== null) assert.fail(`the group failed: ${primary.group.failure}`)
  }

  /** Random requests, a few of them at a time. */
  async write(count: number): Promise<void> {
    const { world } = this
    const { primary } = world
    const prng = this.#prng
    if (!primary.running) return
    // A client has a bounded number of requests under way.
    if (primary.open.size > 200) return
    for (let i = 0; i < count; i++) {
      const device = prng.below(world.deviceBytes.length)
      const size = world.deviceBytes[device] as number
      const length = 512 * (prng.chance(0.1) ? prng.between(1, 700) : prng.between(1, 24))
      // Overlaps are what matters: most writes go to a few places.
      const offset = prng.chance(0.6)
        ? 4096 * prng.below(16) + MIB * prng.below(Math.floor(size / MIB))
        : 512 * prng.below((size - length) / 512 + 1)
      const fits = Math.min(length, size - offset)
      const fua = prng.chance(0.08)
      const kind = prng.below(20)
      if (kind === 0) primary.write({ device, offset, bytes: fits, operation: 'trim', fua })
      else if (kind === 1) primary.write({ device, offset, bytes: fits, operation: 'write-zeroes', fua })
      else if (kind === 2) primary.flush(device)
      else primary.write({ device, offset, bytes: prng.bytes(fits), fua })
      if (prng.chance(0.2)) await world.advance(prng.pick([0, 1, 5]))
    }
    if (prng.chance(0.5)) await world.advance(prng.pick([0, 1, 10, 150]))
  }

  #narrow(): void {
    const { network, agent } = this.world
    const bandwidthBytes = this.#prng.pick([100_000, 1_000_000, Number.POSITIVE_INFINITY])
    network.setLink(PRIMARY, agent.name, { bandwidthBytes })
  }

  // --- the agent ------------------------------------------------------------------------------------------------

  async agentDies(how: 'crash' | 'power-cut' | 'stop'): Promise<void> {
    const { world } = this
    const { agent } = world
    if (!agent.running) return
    if (how === 'stop') await world.run(agent.stop())
    else if (how === 'crash') agent.crash()
    else agent.powerCut()
    await world.advance(0)
    if (this.#prng.chance(0.7)) await this.agentStarts()
  }

  async agentStarts(): Promise<void> {
    const { world } = this
    const { agent } = world
    if (agent.running) return
    if (this.#slow && this.#prng.chance(0.2)) {
      void agent.start()
      await world.advance(this.#prng.between(0, 60))
      agent.crash()
      await world.advance(0)
    }
    const names = new Map(world.deviceBytes.map((_, number) => [number + 1, `dev${number}`]))
    const images = await world.run(agent.replayed(names))
    // Nobody speaks to it before it has been looked at.
    await world.startAgent(agent)
    this.#judge(agent, images)
  }

  /** The devices with the journal laid over are exactly what the agent says they are. */
  #judge(agent: AgentHost, images: ReadonlyMap<number, SparseBytes> | null): void {
    const { replica, mappings } = agent.status()
    if (replica === null || !replica.consistent || replica.incarnation === null || replica.receivedLsn === null) return
    assert(
      images !== null || mappings.length === 0,
      'a journal that is gone is not the journal of a consistent replica',
    )
    if (images === null) return
    const { history } = this.world.primary
    assert(
      history.has(replica.incarnation, replica.receivedLsn),
      `the agent's end ${replica.incarnation}:${replica.receivedLsn} was once written`,
    )
    const wanted = history.contentAt(replica.receivedLsn, replica.incarnation)
    for (const { deviceId, device, unmapping } of mappings) {
      if (unmapping) continue
      const at = (images.get(deviceId) as SparseBytes).firstDifference(wanted.get(deviceId) as SparseBytes)
      if (at < 0) continue
      assert.fail(
        `${device} with its journal is not the history at ${replica.incarnation}:${replica.receivedLsn} from byte ${at} on, and the agent says it is consistent`,
      )
    }
  }

  // --- the primary ----------------------------------------------------------------------------------------------

  async primaryDies(how: 'crash' | 'power-cut' | 'stop'): Promise<void> {
    const { world } = this
    const { primary } = world
    const prng = this.#prng
    if (!primary.running) return
    if (how === 'stop') await world.run(primary.stop())
    else if (how === 'crash') primary.crash()
    else primary.powerCut()
    await world.advance(prng.pick([0, 0, 50, 4000]))
    if (this.#slow && prng.chance(0.3)) {
      void primary.start()
      await world.advance(prng.between(0, 80))
      primary.powerCut()
      await world.advance(0)
    }
    await world.startPrimary()
    if (prng.chance(0.5)) await world.checkLocal()
  }

  async #pause(paused: boolean): Promise<void> {
    if (this.#paused === paused) return
    this.#paused = paused
    await this.#set({ paused })
  }

  async #change(): Promise<void> {
    const prng = this.#prng
    const changes: SlinkChange[] = [
      { overflow: 'drop' },
      { overflow: 'stall' },
      { overflow: 'fail' },
      { holdMs: 500 },
      { ack: 'durable' },
      { ack: 'received' },
    ]
    await this.#set(prng.pick(changes))
  }

  async #set(change: SlinkChange): Promise<void> {
    await this.world.run(this.world.primary.admin.changeSlink(1, change))
  }

  async #fullResync(): Promise<void> {
    if (!this.#paused) await this.world.run(this.world.primary.admin.resync(1, true))
  }

  async #mapAgain(): Promise<void> {
    const { world } = this
    const { primary } = world
    const device = this.#prng.below(2)
    if (!primary.slink().mappings.get(device + 1)) return
    await world.run(primary.admin.unmap(device, 1))
    if (this.#prng.chance(0.5)) await this.write(5)
    await world.advance(this.#prng.pick([0, 10, 500]))
    await world.map(device, 1, {
      initial: 'sync',
      dirtyLog: this.#prng.chance(0.5) ? { type: 'core' } : { type: 'disk', path: null },
    })
  }

  // --- the end --------------------------------------------------------------------------------------------------

  /** No more faults: everything converges, everybody is answered, and both sides are equal. */
  async heal(): Promise<void> {
    const { world } = this
    const { primary, agent } = world
    this.#trace.push(`${world.clock.nowMs()} ms: heal`)
    world.silence(agent, false)
    world.network.setLink(PRIMARY, agent.name, { bandwidthBytes: Number.POSITIVE_INFINITY })
    await this.agentStarts()
    await this.#pause(false)
    await world.until('everybody is answered', () => primary.open.size === 0, HEAL_MS_MAX)
    await world.settle(1, HEAL_MS_MAX)
    await world.checkLocal()
    world.checkOwed(agent)
    assert.equal(agent.status().broken, null)
  }
}
