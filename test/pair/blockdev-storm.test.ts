/**
 * Random lives of a primary with blockdev sites: writes, flushes and trims, kills and power cuts at any moment, devices
 * that fail or hang, overflows, pauses. Whenever the process dies the devices of a site have to be the history cut at one
 * entry, over all of them; whatever happened, everything comes to rest and is equal.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '@sitelink/storage/testing'
import { seededPrng } from '../support/seed.js'
import { blockdevWorld, cutOf, recordOf, settleSite, targetPath, type BlockdevWish } from './blockdev-sites.js'
import { MIB, type World } from './world.js'

/** Deaths at which the devices of a site were held to be one point. */
let judged = 0

const LIVES = Number(process.env['BLOCKDEV_LIVES'] ?? 40)

/** The devices of a site are one point of the history now, as far as anybody should say so. */
function claims(world: World, slink: number): boolean {
  const site = world.primary.slink(slink)
  return (
    site.standing.kind === 'log' &&
    site.mappings.dirtyRegions === 0 &&
    world.primary.group.sites.consistent(slink) === true
  )
}

function write(world: World, prng: Prng): void {
  const device = prng.below(2)
  const offset = prng.below(30) * 65_536
  const kind = prng.below(10)
  const fua = prng.chance(0.1)
  const { primary } = world
  if (kind === 0) primary.flush(device)
  else if (kind === 1) primary.write({ device, offset, bytes: 65_536, operation: 'trim', fua })
  else if (kind === 2) primary.write({ device, offset, bytes: 16_384, fua })
  else primary.write({ device, offset, bytes: prng.bytes(512 * (1 + prng.below(64))), fua })
}

async function break_(world: World, prng: Prng, slinks: number): Promise<() => void> {
  const path = targetPath(1 + prng.below(slinks), prng.below(2))
  const on = prng.pick(['write', 'sync', 'write'] as const)
  const fault = prng.chance(0.3)
    ? world.primary.disks.inject(path, { on, delayMs: prng.below(8000) })
    : world.primary.disks.inject(path, { on, error: 'EIO', count: prng.chance(0.5) ? 1 : Infinity })
  return () => fault.remove()
}

async function die(world: World, prng: Prng, slinks: number): Promise<void> {
  const claimed = new Map<number, boolean>()
  for (let slink = 1; slink <= slinks; slink++) claimed.set(slink, claims(world, slink))
  const cut = prng.chance(0.4)
  const { primary } = world
  const last = primary.history.lastLsn
  const owed = new Map(world.siteOwed)
  const reached = new Map<number, number>()
  if (cut) primary.powerCut()
  else primary.crash()
  for (const [slink, claim] of claimed) {
    const record = recordOf(world, slink)
    if (record === null) continue
    const { applied, reachLsn } = record
    reached.set(slink, Math.max(reachLsn, applied.lsn))
    assert(applied.lsn >= (owed.get(slink) ?? 0), `slink ${slink} owes LSN ${owed.get(slink)}, it has ${applied.lsn}`)
    if (!claim) continue
    judged += 1
    if (!cut) cutOf(world, slink, applied.lsn, Math.min(reachLsn, last), true)
    else if (reachLsn === applied.lsn) cutOf(world, slink, applied.lsn, applied.lsn, false)
  }
  await world.startPrimary()
  for (const [slink, reachLsn] of reached)
    assert(reachLsn <= primary.history.lastLsn, `slink ${slink} was given LSN ${reachLsn}, which a power cut unmade`)
  primary.disks.clearFaults()
}

async function live(name: string, prng: Prng): Promise<void> {
  const policies: BlockdevWish[] = [
    { mode: 'async' },
    { mode: 'sync', overflow: 'drop' },
    { mode: 'async', dirtyLog: { type: 'core' }, fallBehind: { ios: 5, bytes: 0, timeoutMs: 0 } },
    { mode: 'sync', overflow: 'stall' },
    { mode: 'async', initial: 'sync' },
  ]
  const wishes = Array.from({ length: 1 + prng.below(2) }, () => prng.pick(policies))
  const world = await blockdevWorld(name, wishes, {
    deviceBytes: [2 * MIB, 2 * MIB],
    logBytes: prng.chance(0.5) ? 2 * MIB : 8 * MIB,
    diskLatency: { writeMs: [0, prng.pick([0, 2, 5])], syncMs: [0, prng.pick([0, 5, 20])] },
  })
  let mend: (() => void) | null = null
  for (let step = 10 + prng.below(25); step > 0; step--) {
    const draw = prng.below(14)
    if (draw < 7) for (let count = prng.below(20); count >= 0; count--) write(world, prng)
    else if (draw === 7) {
      mend?.()
      mend = await break_(world, prng, wishes.length)
    } else if (draw === 8) mend?.()
    else if (draw === 9) await die(world, prng, wishes.length)
    else if (draw === 10) {
      const slink = 1 + prng.below(wishes.length)
      await world.run(world.primary.admin.changeSlink(slink, { paused: prng.chance(0.5) }))
    } else if (draw === 11) {
      const slink = 1 + prng.below(wishes.length)
      if (!world.primary.slink(slink).config.paused) await world.run(world.primary.admin.resync(slink, true))
    } else if (draw === 12) {
      const slink = 1 + prng.below(wishes.length)
      await world.run(world.primary.admin.unmap(1, slink))
      await world.map(1, slink, { remote: targetPath(slink, 1), initial: 'sync' })
    } else await world.advance(prng.below(20_000))
    await world.advance(prng.below(40))
  }
  mend?.()
  world.primary.disks.clearFaults()
  for (let slink = 1; slink <= wishes.length; slink++) {
    await world.run(world.primary.admin.changeSlink(slink, { paused: false }))
    await settleSite(world, slink)
  }
}

test('[WR-07] [SM-11] at every death the devices of a blockdev site are the history cut at one entry, over all of them', async (t) => {
  const lives = seededPrng(t, 'blockdev')
  for (let life = 0; life < LIVES; life++) {
    const name = `${lives.seed}/${life}`
    await live(name, lives.fork(String(life))).catch((error: unknown) => {
      throw new Error(`life ${name}: ${(error as Error).message}`, { cause: error })
    })
  }
  t.diagnostic(`${LIVES} lives, ${judged} deaths at which a site was judged`)
  assert.ok(LIVES < 20 || judged > 0)
})
