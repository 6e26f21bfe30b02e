/** Disks that fail, are full or slow for some operations, and bits that rot where they lie. */
import { LOG_FILE, PEERS_FILE, CONFIG_FILE } from '../../pair/primary-host.js'
import { JOURNAL_FILE, REPLICA_STATE_FILE } from '../../pair/agent-host.js'
import type { DiskFault, FaultDiskProvider } from '@sitelink/storage/testing'
import type { Simulation } from '../simulation.js'
import type { Action } from './action.js'

export const DISKS: readonly Action[] = [
  { name: 'a disk of the primary fails', weight: 5, family: 'disks', run: primaryDisk },
  { name: 'a disk of an agent fails', weight: 7, family: 'disks', run: agentDisk },
  {
    name: 'disks work again',
    weight: 4,
    family: 'disks',
    run: ({ world }) => [world.primary, ...world.agents].forEach(({ disks }) => disks.clearFaults()),
  },
  { name: 'a bit of an agent rots', weight: 6, family: 'rot', run: agentRot },
  { name: 'a dirty log of the primary rots', weight: 4, family: 'rot', run: primaryRot },
  {
    name: 'a bit of the log rots',
    weight: 3,
    family: 'rot',
    possible: ({ logRots, world }) => logRots < 1 && world.primary.running,
    run: logRot,
  },
]

/** Superblocks and their room; the ring begins behind (docs/internals/replog-format.md). */
const LOG_HEAD_BYTES = 256 * 1024

/** Bounded, so that every retry ends. */
function drawFault({ prng, scenario }: Simulation): DiskFault {
  const on = prng.pick(['write', 'write', 'sync', 'sync', 'read'] as const)
  const skip = prng.pick([0, 0, 1, 5])
  const count = prng.between(1, 4)
  if (scenario.slow && prng.chance(0.3)) return { on, skip, count, delayMs: prng.pick([50, 500, 3000]) }
  return { on, skip, count, error: on === 'write' && prng.chance(0.4) ? 'ENOSPC' : 'EIO' }
}

function inject(sim: Simulation, disks: FaultDiskProvider, path: string): string {
  const fault = drawFault(sim)
  disks.inject(path, fault)
  return `${path}: ${JSON.stringify(fault)}`
}

function primaryDisk(sim: Simulation): string {
  const { world, prng, cast } = sim
  const { disks } = world.primary
  sim.primaryFaultMs = sim.nowMs
  if (prng.chance(0.2)) {
    const path = prng.pick([CONFIG_FILE, PEERS_FILE])
    disks.injectProviderFault({ on: 'replaceFile', path, code: 'DISK_FULL', count: prng.between(1, 2) })
    return `${path}: the file system is full`
  }
  const local = cast.presentDevices.map(({ number }) => `/dev/local${number}`)
  const dirty = disks.paths().filter((path) => path.startsWith('/state/dirty-'))
  return inject(sim, disks, prng.pick([LOG_FILE, LOG_FILE, ...local, ...dirty]))
}

function agentDisk(sim: Simulation): string {
  const { prng, cast } = sim
  const site = prng.pick(cast.sites)
  const { disks, devices, name } = site.agent
  site.faultMs = sim.nowMs
  if (prng.chance(0.2)) {
    disks.injectProviderFault({
      on: 'replaceFile',
      path: REPLICA_STATE_FILE,
      code: 'DISK_FULL',
      count: prng.between(1, 2),
    })
    return `${name}: the file system is full`
  }
  const dirty = disks.paths().filter((path) => path.startsWith('/state/dirty-'))
  return `${name} ${inject(sim, disks, prng.pick([JOURNAL_FILE, JOURNAL_FILE, ...devices.map(({ path }) => path), ...dirty]))}`
}

/** In its journal or in a dirty log. What it owed may be gone. */
function agentRot(sim: Simulation): string {
  const { prng, cast } = sim
  const site = prng.pick(cast.sites)
  const { disks, name, owed } = site.agent
  site.faultMs = sim.nowMs
  site.agent.rotten = true
  owed.received = 0
  owed.durable = 0
  const dirty = disks.paths().filter((path) => path.startsWith('/state/dirty-'))
  const path = prng.pick([JOURNAL_FILE, JOURNAL_FILE, ...dirty])
  return `${name} ${path}: byte ${rot(sim, disks, path)}`
}

function primaryRot(sim: Simulation): string {
  const { prng, world } = sim
  const { disks } = world.primary
  const dirty = disks.paths().filter((path) => path.startsWith('/state/dirty-'))
  if (dirty.length === 0) return 'it has none'
  sim.primaryFaultMs = sim.nowMs
  const path = prng.pick(dirty)
  return `${path}: byte ${rot(sim, disks, path)}`
}

/**
 * In the ring: both superblocks at once would be the end of any log. All of it is synced, and a superblock says so, first:
 * what rots before anything says that it was there cannot be told from the end of the log, and all behind it goes as well. The rest is known to be lost until it is
 * overwritten.
 */
async function logRot(sim: Simulation): Promise<string> {
  const { world, cast } = sim
  const { primary } = world
  const { log } = primary.group
  log.requestSync()
  for (let waitedMs = 0; waitedMs < 500 && log.durableLsn < log.lastLsn; waitedMs += 5) await world.advance(5)
  if (log.durableLsn < log.lastLsn) return 'not now: the log is not synced'
  await cast.verb('superblock', () => log.writeSuperblock())
  sim.logRots++
  sim.primaryFaultMs = sim.nowMs
  primary.promised.written = 0
  primary.promised.durable = 0
  for (const { agent } of cast.sites) {
    agent.owed.received = 0
    agent.owed.durable = 0
  }
  return `byte ${rot(sim, primary.disks, LOG_FILE, LOG_HEAD_BYTES)}`
}

function rot({ prng }: Simulation, disks: FaultDiskProvider, path: string, from = 0): number {
  const medium = disks.medium(path)
  // Where something is: most of a journal is empty.
  const used = [...medium.visible().present()].filter(({ offset }) => offset >= from)
  const { offset, bytes } = used.length === 0 ? { offset: 0, bytes: { length: medium.sizeBytes } } : prng.pick(used)
  const at = Math.min(medium.sizeBytes - 1, offset + prng.below(bytes.length))
  medium.flipBit(at, prng.below(8))
  return at
}
