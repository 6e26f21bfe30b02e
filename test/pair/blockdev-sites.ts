/**
 * What tests of blockdev slinks say again and again: a site with its devices on the primary's host, and what they hold.
 *
 * Owns the judgement of a site's devices, which knows the history and the site's record and nothing of how a site works.
 * A write that a dying process had under way may be there in part; nothing else may.
 */
import assert from 'node:assert/strict'
import {
  BLOCKDEV_ADDRESS,
  decodeRecord,
  SLOT_BYTES,
  type NewMapping,
  type NewSlink,
  type SiteRecord,
} from '@sitelink/primary'
import type { SparseBytes } from '@sitelink/storage/testing'
import { World, type WorldOptions } from './world.js'

export const targetPath = (slink: number, device: number): string => `/dev/site${slink}-${device}`

export interface BlockdevWish extends Partial<NewSlink>, Partial<Pick<NewMapping, 'initial' | 'dirtyLog'>> {
  /** Devices whose targets are not there yet. */
  readonly missing?: readonly number[]
}

/** Adds a blockdev slink with a target for each device. */
export async function addBlockdev(world: World, number: number, wish: BlockdevWish = {}): Promise<void> {
  const { missing = [], initial = 'nosync', dirtyLog = { type: 'disk', path: null }, ...slink } = wish
  await world.run(world.primary.admin.addSlink({ mode: 'async', ...slink, number, addresses: [BLOCKDEV_ADDRESS] }))
  for (const [device, sizeBytes] of world.deviceBytes.entries()) {
    if (!missing.includes(device)) world.primary.disks.addDevice(targetPath(number, device), sizeBytes)
    await world.map(device, number, { remote: targetPath(number, device), initial, dirtyLog })
  }
}

/** A primary with blockdev slinks 1, 2 ... by these wishes, all of them live. */
export async function blockdevWorld(
  seed: string,
  wishes: readonly BlockdevWish[] = [{}],
  options: Partial<WorldOptions> = {},
): Promise<World> {
  const world = new World({ seed, agents: 0, ...options })
  await world.start()
  for (const [at, wish] of wishes.entries()) await addBlockdev(world, at + 1, wish)
  await world.until('all sites are live', () => wishes.every((_, at) => world.primary.word(at + 1) === 'live'))
  return world
}

export function target(world: World, slink: number, device: number): SparseBytes {
  return world.primary.disks.medium(targetPath(slink, device)).visible()
}

/** The record of a site as it lies on the disk; null where there is none. */
export function recordOf(world: World, slink: number): SiteRecord | null {
  const path = `/state/site-${slink}`
  if (!world.primary.disks.paths().includes(path)) return null
  const file = world.primary.disks.medium(path).visible()
  const slots = [0, SLOT_BYTES].map((at) => decodeRecord(bytesOf(file, at, SLOT_BYTES)))
  return slots.reduce((a, b) => (a === null || (b !== null && b.sequence > a.sequence) ? b : a), null)
}

const SECTOR = 512

function bytesOf(from: SparseBytes, offset: number, length: number): Buffer {
  const into = Buffer.alloc(length)
  from.read(into, offset)
  return into
}

/**
 * The LSN at which the history is cut that the devices hold. `torn`: the entry behind it may be there in part, by whole
 * sectors. Fails if there is none from `from` to `to`.
 */
export function cutOf(world: World, slink: number, from: number, to: number, torn: boolean): number {
  for (let lsn = from; lsn <= to; lsn++) if (isCutAt(world, slink, lsn, torn && lsn < to)) return lsn
  return assert.fail(`slink ${slink} holds the history at no LSN from ${from} to ${to}\n${world.describe()}`)
}

function isCutAt(world: World, slink: number, lsn: number, torn: boolean): boolean {
  const { history } = world.primary
  const next = torn ? history.entry(lsn + 1) : null
  return world.deviceBytes.every((_, device) => {
    const found = target(world, slink, device)
    const wanted = history.contentAt(lsn).get(device + 1) as SparseBytes
    if (next === null || next.deviceId !== device + 1) return found.firstDifference(wanted) < 0
    const old = bytesOf(wanted, next.offset, next.length)
    const have = bytesOf(found, next.offset, next.length)
    const bytes = next.payload ?? Buffer.alloc(next.length)
    for (let at = 0; at < next.length; at += SECTOR) {
      const piece = have.subarray(at, at + SECTOR)
      if (!piece.equals(old.subarray(at, at + SECTOR)) && !piece.equals(bytes.subarray(at, at + SECTOR))) return false
    }
    // The rest has to be as it was.
    const patched = found.clone()
    patched.write(old, next.offset)
    return patched.firstDifference(wanted) < 0
  })
}

/** Every device of the site is as the history is now. */
export function checkSiteEqual(world: World, slink: number): void {
  const { history } = world.primary
  for (const device of world.deviceBytes.keys()) {
    const at = target(world, slink, device).firstDifference(
      history.contentAt(history.lastLsn).get(device + 1) as SparseBytes,
    )
    assert(at < 0, `device ${device} at slink ${slink} differs from byte ${at} on\n${world.describe()}`)
  }
}

/** Waits until a site has everything, and holds it to be equal then. */
export async function settleSite(world: World, slink = 1, limitMs = 120_000): Promise<number> {
  const took = await world.until(
    `slink ${slink} has everything`,
    () => {
      const site = world.primary.slink(slink)
      const { writePath } = world.primary.group
      return (
        world.primary.word(slink) === 'live' &&
        site.mappings.dirtyRegions === 0 &&
        site.stream?.appliedLsn === writePath.lastLsn &&
        site.stream.agentConsistent === true
      )
    },
    limitMs,
  )
  checkSiteEqual(world, slink)
  return took
}
