/** How a link is used: its bandwidth, its shares, what is in flight, and what is told of its lag. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupStatus } from '@sitelink/primary'
import { MIB, World, type SiteWish, type WorldOptions } from './world.js'

const KIB = 1024

async function pair(wish: SiteWish = {}, options: Partial<WorldOptions> = {}): Promise<World> {
  const world = new World({ seed: 'links', logBytes: 64 * MIB, journalBytes: 64 * MIB, ...options })
  await world.start()
  await world.addSite(wish)
  await world.settle()
  return world
}

/** Writes `count` times 16 KiB, none of it alike. */
function write(world: World, count: number, bytes = 16 * KIB): void {
  for (let at = 0; at < count; at += 1)
    world.primary.write({ offset: (at % 8) * bytes, bytes: world.prng.bytes(bytes) })
}

const sentBytes = (world: World): number => world.primary.slink().link.session?.sentBytes ?? 0
const slinkOf = (world: World) => {
  const [slink] = groupStatus(world.primary.group).slinks
  assert.ok(slink !== undefined)
  return slink
}

test('a limited link carries its rate, evenly, and a change counts at once', async () => {
  const world = await pair()
  await world.run(world.primary.admin.changeSlink(1, { limit: { bytesPerSecond: MIB, windows: [] } }))
  write(world, 1000)
  await world.advance(1000)
  let before = sentBytes(world)
  for (let second = 0; second < 5; second += 1) {
    await world.advance(1000)
    const bytes = sentBytes(world) - before
    assert.ok(bytes > 0.9 * MIB && bytes < 1.15 * MIB, `${bytes} bytes in second ${second}`)
    before += bytes
  }
  const tenth: number[] = []
  for (let at = 0; at < 10; at += 1) {
    await world.advance(100)
    tenth.push(sentBytes(world) - before)
    before = sentBytes(world)
  }
  assert.ok(Math.max(...tenth) < 0.2 * MIB, `a tenth of a second has no more than two of them: ${tenth.join(' ')}`)
  await world.run(world.primary.admin.changeSlink(1, { limit: { bytesPerSecond: 0, windows: [] } }))
  assert.ok((await world.settle()) < 2000)
})

test('a resync counts within the limit, and has its share of it while writes wait', async () => {
  for (const resyncSharePercent of [20, 80]) {
    const world = await pair({}, { deviceBytes: [48 * MIB] })
    const filled = world.primary.write({ offset: 0, bytes: world.prng.bytes(MIB) })
    for (let at = 1; at < 48; at += 1) world.primary.write({ offset: at * MIB, bytes: world.prng.bytes(MIB) })
    assert.equal(await world.answered(filled), 0)
    await world.settle()
    await world.run(
      world.primary.admin.changeSlink(1, { limit: { bytesPerSecond: 4 * MIB, windows: [] }, resyncSharePercent }),
    )
    await world.run(world.primary.admin.resync(1, true))
    await world.until('copies flow', () => world.primary.slink().copiedBytes > 0)
    const [sent, copied] = [sentBytes(world), world.primary.slink().copiedBytes]
    // What was copied already is written again, faster than the link takes it.
    for (let at = 0; at < 40; at += 1) {
      write(world, 32)
      await world.advance(100)
    }
    const all = sentBytes(world) - sent
    const share = ((world.primary.slink().copiedBytes - copied) / all) * 100
    assert.ok(all < 4.6 * 4 * MIB, `${all} bytes in four seconds`)
    assert.ok(
      Math.abs(share - resyncSharePercent) < 16,
      `${share} % are copies, ${resyncSharePercent} % were asked for`,
    )
    await world.run(world.primary.admin.changeSlink(1, { limit: { bytesPerSecond: 0, windows: [] } }))
    await world.settle()
  }
})

test('no more is in flight than the operator allows, in frames and in bytes, and the link goes on', async () => {
  const world = await pair({}, { link: { latencyMs: 20 } })
  await world.run(world.primary.admin.changeSlink(1, { inFlight: { ios: 5, bytes: 0 } }))
  write(world, 60)
  let most = 0
  for (let at = 0; at < 200; at += 1) {
    await world.advance(2)
    most = Math.max(most, slinkOf(world).inFlightFrames)
  }
  assert.equal(most, 5)
  await world.settle()
  assert.deepEqual([slinkOf(world).inFlightFrames, slinkOf(world).inFlightBytes], [0, 0])
  await world.run(world.primary.admin.changeSlink(1, { inFlight: { ios: 0, bytes: 40_000 } }))
  write(world, 60)
  most = 0
  for (let at = 0; at < 200; at += 1) {
    await world.advance(2)
    most = Math.max(most, slinkOf(world).inFlightBytes)
  }
  assert.ok(most > 16 * KIB && most <= 40_000 + 2 * 16.2 * KIB, `${most} bytes in flight`)
  await world.settle()
})

test('a site that is silent is lost after the detection time that was set, and comes back', async () => {
  const world = await pair({ detectMs: 600 })
  world.silence()
  const took = await world.until('the session ends', () => !slinkOf(world).connected, 5000)
  assert.ok(took >= 500 && took <= 800, `${took} ms`)
  world.silence(world.agent, false)
  await world.settle()
})

test('[SM-13] lag is zero exactly while a healthy site has everything, and otherwise as old as its oldest write', async () => {
  const world = await pair()
  write(world, 20)
  await world.settle()
  for (let at = 0; at < 20; at += 1) {
    await world.advance(737)
    const { lagWrites, lagBytes, lagSeconds } = slinkOf(world)
    assert.deepEqual([lagWrites, lagBytes, lagSeconds], [0, 0, 0], 'idle')
  }
  world.cut()
  world.silence()
  write(world, 3)
  await world.advance(10_000)
  write(world, 4)
  await world.advance(5000)
  const { lagWrites, lagBytes, lagSeconds } = slinkOf(world)
  assert.deepEqual([lagWrites, lagBytes], [7, 7 * 16 * KIB])
  assert.ok(lagSeconds >= 15 && lagSeconds < 15.2, `${lagSeconds} s`)
  // A restart does not make them younger.
  await world.restartPrimary()
  await world.advance(1000)
  const after = slinkOf(world)
  assert.equal(after.lagWrites, 7)
  assert.ok(after.lagSeconds >= 16 && after.lagSeconds < 16.5, `${after.lagSeconds} s after the restart`)
  world.silence(world.agent, false)
  await world.settle()
  assert.equal(slinkOf(world).lagSeconds, 0)
})

/** Lines of a log: what an application writes that writes text. */
function textOf(world: World, bytes: number): Buffer {
  let text = ''
  while (text.length < bytes) {
    const words = Array.from({ length: 9 }, () => WORDS[world.prng.below(WORDS.length)])
    text += `2026-11-28T05:${world.prng.below(60)}:${world.prng.below(60)} [${world.prng.below(9999)}] ${words.join(' ')}\n`
  }
  return Buffer.from(text.slice(0, bytes))
}
const WORDS =
  'error warning info request response user session timeout connection database query index table update insert'.split(
    ' ',
  )

test('over a limited link auto delivers at least twice the text that off does, and hardly less of noise', async () => {
  const received = async (compression: 'off' | 'auto', make: (world: World, bytes: number) => Buffer) => {
    const world = await pair({ compression, limit: { bytesPerSecond: 2 * MIB, windows: [] } })
    const before = world.primary.slink().receivedLsn
    for (let at = 0; at < 1200; at += 1)
      world.primary.write({ offset: (at % 16) * 16 * KIB, bytes: make(world, 16 * KIB) })
    await world.advance(4000)
    const count = world.primary.slink().receivedLsn - before
    return { count, ...slinkOf(world).compression }
  }
  const [textOff, textAuto] = [await received('off', textOf), await received('auto', textOf)]
  assert.ok(textAuto.count >= 2 * textOff.count, `${textAuto.count} entries compressed, ${textOff.count} not`)
  assert.deepEqual([textAuto.active, textAuto.why], [true, 'worth-it'])
  assert.ok((textAuto.ratio ?? 0) > 2)
  const noise = (world: World, bytes: number): Buffer => world.prng.bytes(bytes)
  const [noiseOff, noiseAuto] = [await received('off', noise), await received('auto', noise)]
  assert.ok(noiseAuto.count >= 0.97 * noiseOff.count, `${noiseAuto.count} entries with auto, ${noiseOff.count} without`)
  assert.deepEqual([noiseAuto.active, noiseAuto.why], [false, 'incompressible'])
})

test('a compressed stream survives cuts, kills and a resync, and both sides end equal', async () => {
  const world = await pair({ compression: 'on' })
  for (let round = 0; round < 12; round += 1) {
    for (let at = 0; at < 40; at += 1) {
      const bytes = world.prng.chance(0.5) ? textOf(world, 8 * KIB) : world.prng.bytes(8 * KIB)
      world.primary.write({ device: at % 2, offset: world.prng.below(200) * 8 * KIB, bytes })
    }
    await world.advance(world.prng.below(20))
    if (round % 4 === 0) world.cut()
    if (round % 4 === 1) await world.restartAgent('crash')
    if (round % 4 === 2) await world.restartPrimary('crash')
    if (round % 4 === 3) await world.run(world.primary.admin.resync(1, true))
  }
  await world.settle()
  assert.ok((slinkOf(world).compression.ratio ?? 0) >= 1)
})

test('addresses are tried in turn: a dead one costs a moment, also when the live one is lost and comes back', async () => {
  const dead = 'memory:nobody'
  const world = new World({ seed: 'addresses' })
  await world.start()
  await world.addSite({ addresses: [dead, dead, world.agent.address] })
  const live = (): boolean => slinkOf(world).connected
  assert.ok((await world.until('the third address is reached', live, 5000)) < 1000)
  assert.equal(slinkOf(world).address, world.agent.address)
  write(world, 5)
  world.cut()
  assert.ok((await world.until('it is reached again', live, 5000)) < 1000)
  await world.until('everything is there', () => slinkOf(world).lagWrites === 0)
})

test('an idle link costs two heartbeats a second, and nothing that grows with its limits', async () => {
  const world = await pair({
    compression: 'auto',
    limit: { bytesPerSecond: 5000, windows: [{ fromMinute: 0, toMinute: 720, bytesPerSecond: 0 }] },
    inFlight: { ios: 10, bytes: 100_000 },
  })
  await world.advance(5000)
  const before = sentBytes(world)
  await world.advance(60_000)
  const bytes = (sentBytes(world) - before) / 60
  assert.ok(bytes < 2.2 * 160, `${bytes} bytes a second`)
  assert.equal(slinkOf(world).connected, true)
})
