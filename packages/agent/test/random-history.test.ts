/**
 * Random histories: writes, power cuts and crashes on both sides, cuts of the link, overflows. After every death of the
 * agent the applied devices are an exact prefix of what the primary has durably, and nothing acknowledged is lost.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameType } from '@sitelink/protocol'
import { seedFromEnv, type Prng } from '@sitelink/storage/testing'
import { World } from './support/world.js'

const MIB = 1 << 20
const seed = seedFromEnv('agent history')
const ROUNDS = Number(process.env['ROUNDS'] ?? 10)
const STEPS = 40

/** One random life of a pair; every step is drawn from the seed. */
class Storm {
  readonly world: World
  readonly prng: Prng

  constructor(label: string) {
    this.world = new World({ seed: label, journalBytes: 4 * MIB, deviceBytes: [2 * MIB, 3 * MIB] })
    this.prng = this.world.prng.fork('storm')
  }

  async run(steps: number): Promise<void> {
    const { world } = this
    await world.init()
    await world.start()
    for (let step = 0; step < steps; step++) {
      await this.step()
      this.assertNothingUndurable()
    }
    await this.settle()
  }

  async step(): Promise<void> {
    const { world, prng } = this
    const { primary } = world
    switch (prng.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        this.write(prng.between(1, 20))
        if (primary.current?.ready === true) primary.feed()
        return world.clock.advance(prng.below(30))
      case 5:
      case 6:
        primary.makeDurable(prng.between(primary.durableLsn, primary.entries.length))
        return world.clock.advance(prng.below(200))
      case 7:
      case 8:
      case 9:
        if (primary.current === null && world.running) await this.connect()
        return world.clock.advance(prng.below(50))
      case 10:
        world.network.cut('primary', 'agent')
        return world.clock.advance(prng.below(5))
      case 11:
        return this.agentDies(() => world.crash())
      case 12:
        return this.agentDies(() => world.powerCut())
      case 13:
        if (prng.chance(0.5)) primary.powerCut(prng.between(primary.durableLsn, primary.entries.length))
        return
      case 14:
        if (primary.recorded !== null && prng.chance(0.3)) {
          primary.disconnect()
          primary.overflow()
        }
        return
      default:
        return world.clock.advance(prng.below(1500))
    }
  }

  write(count: number): void {
    const { world, prng } = this
    const { primary } = world
    for (let i = 0; i < count; i++) {
      const device = prng.pick(primary.devices)
      const length = 512 * prng.between(1, prng.chance(0.1) ? 128 : 16)
      const start = MIB * prng.below(device.sizeBytes / MIB)
      const offset = start + 512 * prng.below((MIB - length) / 512 + 1)
      if (prng.chance(0.8)) primary.write(device.deviceId, offset, prng.bytes(length))
      else if (prng.chance(0.5)) primary.zeroes(device.deviceId, offset, length)
      else primary.trim(device.deviceId, offset, length)
      // While a slink is behind nothing reaches it; its regions are known instead.
      if (primary.behind && primary.current?.ready !== true) primary.drop(device.deviceId, offset, length)
    }
  }

  async connect(): Promise<void> {
    const session = await this.world.connect()
    assert(session.end === null || session.ready, `the session is not refused: ${session.end?.message}`)
  }

  async agentDies(die: () => Promise<void>): Promise<void> {
    const { world } = this
    const { primary } = world
    if (!world.running) return
    await die()
    primary.disconnect()
    await world.start()
    await this.judge()
  }

  /** The agent has just been opened, and nobody speaks to it: what it has must be true. */
  async judge(): Promise<void> {
    const { world } = this
    const { primary } = world
    await world.clock.advance(3000)
    const { replica } = world.agent.status()
    if (replica === null) return
    assert(
      (replica.durableLsn ?? 0) >= primary.ackedDurable,
      `acknowledged durable ${primary.ackedDurable}, found ${replica.durableLsn}`,
    )
    assert((replica.appliedLsn ?? 0) <= primary.durableLsn, 'nothing is applied that the primary may lose')
    if (replica.consistent && replica.appliedLsn !== null) world.assertContent(replica.appliedLsn)
  }

  /** No byte of an entry that the primary may still lose is on a device. */
  assertNothingUndurable(): void {
    const { world } = this
    const { primary } = world
    const contents = new Map(primary.devices.map(({ deviceId, name }) => [deviceId, world.content(name)]))
    for (const frame of primary.entries.slice(primary.durableLsn)) {
      if (frame.type !== FrameType.write) continue
      const content = contents.get(frame.deviceId) as Buffer
      const there = content.subarray(frame.offset, frame.offset + frame.length)
      assert(
        !there.equals(frame.payload as Buffer),
        `LSN ${frame.lsn} is on its device, the primary is durable to ${primary.durableLsn}`,
      )
    }
  }

  /** Everything reaches the agent in the end, and is there. */
  async settle(): Promise<void> {
    const { world } = this
    const { primary } = world
    for (let attempt = 0; ; attempt++) {
      if (primary.current === null) await this.connect()
      primary.makeDurable()
      if (!primary.behind) primary.feed()
      await world.clock.advance(3000)
      const { replica } = world.agent.status()
      if (replica?.consistent === true && replica.appliedLsn === primary.entries.length && !primary.behind) break
      // A resync that began in another session is begun anew.
      if (attempt % 3 === 2) primary.disconnect()
      assert(attempt < 12, `the agent is in step in the end: ${JSON.stringify(replica)} behind ${primary.behind}`)
    }
    world.assertContent(primary.entries.length)
    await world.stop()
    await world.start()
    world.assertContent(primary.entries.length)
    assert.equal(world.agent.status().replica?.consistent, true)
    await world.stop()
  }
}

for (let round = 0; round < ROUNDS; round++) {
  test(`the applied devices are a durable prefix after any crash, round ${round}`, async (t) => {
    const label = `${seed}/${round}`
    t.diagnostic(`seed ${label}`)
    const storm = new Storm(label)
    await storm.run(STEPS)
    const kinds = storm.world.events.map(({ kind }) => kind)
    const count = (kind: string): number => kinds.filter((one) => one === kind).length
    t.diagnostic(
      `${storm.world.primary.entries.length} entries, ${count('session-established')} sessions, ${count('started')} starts, ` +
        `${count('journal-cut')} cuts, ${count('inconsistent')} resyncs, ${count('started-over')} start-overs`,
    )
  })
}
