/**
 * A primary without sites, killed again and again at random moments, by `kill -9` and by power cuts: what was answered
 * is there as far as was promised, and both devices together are the history cut at exactly one entry.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng, seedFromEnv } from '@sitelink/storage/testing'
import { Asked, GroupWorld, KIB, MIB } from './group-world.js'
import { firstDifference, WriteOrder, type Change } from './write-order.js'

const SIZES = [MIB + 192 * KIB, 256 * KIB]
const ROUNDS = Number(process.env['SITELINK_CRASH_ROUNDS'] ?? 150)

interface Made {
  readonly request: Asked
  /** Everything up to here is covered by its answer. */
  readonly lsn: number
  readonly durable: boolean
}

class Storm {
  readonly #prng: Prng
  readonly #order = new WriteOrder(SIZES)
  #made: Made[] = []
  #stamp = 1

  constructor(
    readonly world: GroupWorld,
    prng: Prng,
  ) {
    this.#prng = prng
  }

  /** Some requests, with time passing between them. */
  async write(): Promise<void> {
    const prng = this.#prng
    for (let count = prng.between(1, 40); count > 0; count -= 1) {
      if (prng.chance(0.15)) this.#flush()
      else this.#change()
      if (prng.chance(0.4)) await this.world.clock.advance(prng.pick([0, 0.3, 1, 4, 30, 150]))
    }
    if (prng.chance(0.3)) this.world.group.writeBack.checkpoint()
    if (prng.chance(0.7)) await this.world.clock.advance(prng.pick([0, 0.2, 1, 5, 60, 400]))
  }

  #flush(): void {
    // A flush covers what was given an LSN when it came; what waits for room is not answered and so not covered.
    const answered = this.#made
      .filter(({ request }) => request.errno === 0)
      .reduce((lsn, made) => Math.max(lsn, made.lsn), 0)
    this.#made.push({ request: this.world.flush(this.#prng.below(SIZES.length)), lsn: answered, durable: true })
  }

  #change(): void {
    const prng = this.#prng
    const device = prng.below(SIZES.length)
    const size = SIZES[device] as number
    const length = Math.min(
      size,
      prng.pick([
        prng.between(1, 600),
        4 * KIB,
        prng.between(1, 40) * 512,
        prng.between(1, 100) * KIB,
        prng.chance(0.1) ? size : 700,
      ]),
    )
    const nearBoundary = device === 0 && prng.chance(0.2) ? MIB - prng.below(length) - 1 : prng.below(size - length + 1)
    const offset = Math.max(0, Math.min(size - length, nearBoundary))
    const fua = prng.chance(0.1)
    const payload = prng.chance(0.75) ? this.#payload(length) : null
    const change: Change = { device, offset, length, payload }
    const lsn = this.#order.add(change)
    const request =
      payload !== null
        ? this.world.write(device, offset, payload, fua)
        : prng.chance(0.5)
          ? this.world.trim(device, offset, length, fua)
          : this.world.zeroes(device, offset, length, prng.chance(0.5), fua)
    this.#made.push({ request, lsn, durable: fua })
  }

  #payload(length: number): Buffer {
    const payload = Buffer.alloc(length)
    const stamp = Buffer.alloc(4)
    stamp.writeUInt32LE(this.#stamp++)
    return payload.fill(stamp)
  }

  allAnswered(): Promise<void> {
    return this.world.answered(this.#made.map(({ request }) => request))
  }

  /** What must be there after a crash of the process, or after a power cut. */
  #promised(power: boolean): number {
    let lsn = 0
    for (const made of this.#made)
      if (made.request.errno === 0 && (made.durable || !power)) lsn = Math.max(lsn, made.lsn)
    return lsn
  }

  /** Holds the group, just opened, to what was promised. */
  async judge(power: boolean, say: string): Promise<void> {
    for (const { request } of this.#made) assert.notEqual(request.errno, 5, `${say}: no request failed`)
    const { lastLsn } = this.world.group.log
    assert.ok(
      lastLsn >= this.#promised(power),
      `${say}: LSN ${lastLsn} is found, ${this.#promised(power)} was answered`,
    )
    assert.ok(
      lastLsn <= this.#order.lastLsn,
      `${say}: LSN ${lastLsn} is found, only ${this.#order.lastLsn} were written`,
    )
    const expected = this.#order.cutAt(lastLsn)
    for (const [device, size] of SIZES.entries()) {
      const found = await this.world.read(device, 0, size)
      const at = firstDifference(found, expected[device] as Buffer)
      assert.equal(at, null, `${say}: device ${device} is the history up to LSN ${lastLsn}, but not at ${at}`)
    }
    this.#made = []
  }

  /** What lies on the devices themselves after a clean stop: all of it. */
  judgeDevices(say: string): void {
    const expected = this.#order.cutAt(this.#order.lastLsn)
    for (const [device, size] of SIZES.entries()) {
      const found = Buffer.alloc(size)
      this.world.disks.medium(`/dev/${device}`).read(found, 0)
      assert.equal(
        firstDifference(found, expected[device] as Buffer),
        null,
        `${say}: device ${device} is whole without the daemon`,
      )
    }
  }
}

test('[REC-01] [REC-02] [REC-15] [REC-16] [RD-12] after a kill or a power cut at any moment both devices are one prefix of the order with everything promised in it', async () => {
  const seed = seedFromEnv('group crash property')
  const prng = new Prng(seed)
  let world: GroupWorld | null = null
  let storm: Storm | null = null
  const seen = { kills: 0, cuts: 0, stops: 0, openings: 0, wraps: 0, lost: 0 }
  for (let round = 0; round < ROUNDS; round += 1) {
    if (world === null || storm === null || prng.chance(0.04)) {
      const latency = prng.chance(0.7) ? ({ readMs: [0, 0.5], writeMs: [0, 2], syncMs: [0, 8] } as const) : undefined
      world = await GroupWorld.running({
        seed: `${seed}/${round}`,
        devices: SIZES,
        ...(latency === undefined ? {} : { latency }),
      })
      storm = new Storm(world, prng.fork(`storm ${round}`))
    }
    const say = `SEED=${seed} round ${round}`
    await storm.write()
    if (prng.chance(0.12)) {
      // Without a pause for the sync delay: a stop has to bring everything home by itself.
      await storm.allAnswered()
      await world.stop()
      seen.stops += 1
      storm.judgeDevices(say)
      await world.open()
      await storm.judge(false, say)
      continue
    }
    let power = prng.chance(0.5)
    const policies = [{ kind: 'random' }, { kind: 'random' }, { kind: 'lose-all' }, { kind: 'keep-all' }] as const
    const die = (): void => {
      if (power) world?.powerCut(prng.pick(policies))
      else world?.kill()
    }
    seen.wraps += world.group.log.status().wraps
    const ahead = world.group.log.lastLsn
    die()
    for (; prng.chance(0.25); seen.openings += 1) {
      // Killed while it opens, perhaps in another way.
      let opened = false
      world.opening().then(
        () => (opened = true),
        (error: Error) => assert.fail(`${say}: ${error.message}`),
      )
      for (let steps = prng.below(30); steps > 0 && !opened; steps -= 1)
        await world.clock.advance(prng.pick([0, 0, 0.5, 2]))
      const next = prng.chance(0.5)
      power = power || next
      die()
    }
    await world.open()
    if (power) seen.cuts += 1
    else seen.kills += 1
    if (world.group.log.lastLsn < ahead) seen.lost += 1
    await storm.judge(power, say)
  }
  console.log(`rounds ${ROUNDS}: ${JSON.stringify(seen)}`)
  if (ROUNDS >= 100)
    assert.ok(seen.kills > 0 && seen.cuts > 0 && seen.stops > 0 && seen.openings > 0, 'every way to die was taken')
})
