/**
 * What tests of a pair say again and again: a pair that is live, writes at places, what is dirty, a site that is behind.
 *
 * Owns words only. Everything that it does goes through the world; it checks nothing but that each step was taken.
 */
import assert from 'node:assert/strict'
import { World, type SiteWish, type WorldOptions } from './world.js'

/** One primary and one agent with a live slink. */
export async function livePair(seed: string, site: SiteWish = {}, options: Partial<WorldOptions> = {}): Promise<World> {
  const world = new World({ seed, ...options })
  await world.start()
  await world.addSite(site)
  await world.until('the slink is live', () => world.primary.word() === 'live')
  return world
}

/** One primary and several agents, slink n leading to agent n by the n-th wish; all live. */
export async function liveSites(
  seed: string,
  sites: readonly SiteWish[],
  options: Partial<WorldOptions> = {},
): Promise<World> {
  const world = new World({ seed, agents: sites.length, ...options })
  await world.start()
  for (const [at, site] of sites.entries()) await world.addSite({ agent: world.agents[at] as never, ...site })
  await world.until('all slinks are live', () => sites.every((_, at) => world.primary.word(at + 1) === 'live'))
  return world
}

/** Writes at each of these offsets of a device, one after the other; each is answered with success. */
export async function writeAt(world: World, device: number, offsets: readonly number[], bytes = 65_536): Promise<void> {
  for (const offset of offsets)
    assert.equal(await world.answered(world.primary.write({ device, offset, bytes: world.prng.bytes(bytes) })), 0)
}

/** `count` offsets in steps of 64 KiB that go round within 1 MiB from `from` on. */
export const round = (count: number, from = 0): number[] =>
  Array.from({ length: count }, (_, at) => from + (at % 16) * 65_536)

/** Dirty regions of a slink as `device id:region`, in order. */
export function dirtyRegions(world: World, slink = 1): string[] {
  const found: string[] = []
  for (const mapping of world.primary.slink(slink).mappings) {
    for (const { first, count } of mapping.dirty.bitmap.runs())
      for (let at = 0; at < count; at++) found.push(`${mapping.deviceId}:${first + at}`)
  }
  return found
}

/** Gives up a slink's place, as a full log would. */
export async function dropSlink(world: World, slink = 1): Promise<void> {
  void world.primary.slink(slink).overflow.drop('the log is short of space')
  await world.until(`slink ${slink} is behind`, () => world.primary.word(slink) === 'behind')
}

/** Where the dirty log of a mapping lies. */
export function dirtyLogPath(world: World, deviceId: number, slink = 1): string {
  const mappingId = world.primary.slink(slink).mappings.get(deviceId)?.config.mappingId
  const path = world.primary.disks.paths().find((one) => one === `/state/dirty-${slink}-${mappingId}`)
  assert(path !== undefined, `the dirty log of device id ${deviceId} at slink ${slink} is a file`)
  return path
}
