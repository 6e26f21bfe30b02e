/** The operator: every verb that changes a running group, and a look at a frozen replica. */
import type { SlinkChange } from '@sitelink/primary'
import { SparseBytes } from '@sitelink/storage/testing'
import { MIB } from '../../pair/world.js'
import type { Site } from '../cast.js'
import { verifyOf } from '../checkers/verify.js'
import type { Simulation } from '../simulation.js'
import { demand } from '../violation.js'
import type { Action } from './action.js'
import { write } from './clients.js'

const running = ({ world }: Simulation): boolean => world.primary.running
const anySite = (sim: Simulation): boolean => running(sim) && sim.cast.present.length > 0

const CHANGES: readonly SlinkChange[] = [
  { overflow: 'drop' },
  { overflow: 'stall' },
  { overflow: 'fail' },
  { holdMs: 500 },
  { ack: 'durable' },
  { ack: 'received' },
  { mode: 'sync', fallBehind: { ios: 0, bytes: 0, timeoutMs: 0 } },
  { mode: 'async' },
  { resyncBytesPerSecond: 2_000_000 },
  { resyncBytesPerSecond: 0 },
]

const ofSite = (
  name: string,
  weight: number,
  run: (sim: Simulation, site: Site) => Promise<string | void>,
  possible = anySite,
): Action => ({
  name,
  weight,
  family: 'operator',
  possible,
  run: (sim) => run(sim, sim.prng.pick(sim.cast.present)),
})

export const OPERATOR: readonly Action[] = [
  ofSite('pause', 3, ({ cast }, site) => cast.pause(site, true)),
  {
    name: 'resume',
    weight: 6,
    family: 'operator',
    possible: (sim) => running(sim) && sim.cast.present.some(({ paused }) => paused),
    run: ({ cast, prng }) => cast.pause(prng.pick(cast.present.filter(({ paused }) => paused)), false),
  },
  ofSite('change', 3, async ({ cast, prng }, site) => {
    const change = prng.pick(CHANGES)
    await cast.change(site, change)
    return `slink ${site.slink}: ${JSON.stringify(change)}`
  }),
  ofSite('resync', 2, async (sim, site) => {
    const { cast, world, prng } = sim
    if (site.paused) return
    if (sim.scenario.verifies) beginVerify(sim, site)
    const full = prng.chance(0.5)
    await cast.verb(`resync ${site.slink}`, () => world.primary.admin.resync(site.slink, full))
    return full ? 'full' : ''
  }),
  ofSite('map again', 3, mapAgain),
  ofSite('delete a slink', 1, async (sim, site) => {
    await sim.cast.deleteSlink(site)
    if (sim.prng.chance(0.5)) await write(sim, 5)
    await sim.world.advance(sim.prng.pick([0, 10, 2000]))
    if (sim.prng.chance(0.7)) await sim.cast.addSlink(site)
  }),
  {
    name: 'add a slink',
    weight: 6,
    family: 'operator',
    possible: (sim) => running(sim) && sim.cast.sites.some(({ present }) => !present),
    run: ({ cast, prng }) => cast.addSlink(prng.pick(cast.sites.filter(({ present }) => !present))),
  },
  {
    name: 'add a device',
    weight: 1,
    family: 'operator',
    possible: (sim) => running(sim) && sim.cast.presentDevices.length < 4,
    run: async ({ cast, prng }) => {
      await cast.addDevice(prng.pick([MIB, MIB + 512 * 9]))
      const device = cast.devices.at(-1)
      if (device?.present === true) for (const site of cast.present) if (prng.chance(0.8)) await cast.map(site, device)
    },
  },
  {
    name: 'delete a device',
    weight: 1,
    family: 'operator',
    possible: (sim) => running(sim) && !sim.suspended && sim.cast.presentDevices.length > 1,
    run: ({ cast, prng }) => cast.deleteDevice(prng.pick(cast.presentDevices)),
  },
  {
    name: 'suspend or resume the group, or resize its log',
    weight: 2,
    family: 'operator',
    possible: running,
    run: async (sim) => {
      const { suspended, cast, world } = sim
      // Here, so that a life in which nobody suspends is what it was before logs could be resized.
      if (sim.prng.chance(0.4)) return resizeLog(sim)
      const { admin } = world.primary
      if (await cast.verb('suspend or resume', () => (suspended ? admin.resume(null) : admin.suspend(null))))
        sim.suspended = !suspended
      return ''
    },
  },
  {
    name: 'look at a frozen replica',
    weight: 3,
    family: 'operator',
    possible: ({ cast }) => cast.sites.some(({ agent }) => agent.running),
    run: (sim) => lookFrozen(sim, sim.prng.pick(sim.cast.sites.filter(({ agent }) => agent.running))),
  },
]

/** Begins, beside a resync or for itself; everything else comes while it goes on. It may be refused, or die with the primary. */
function beginVerify(sim: Simulation, { slink }: Site): void {
  verifyOf(sim, slink, 5000).then(
    (report) => void sim.cast.verified.push(report),
    (error: Error & { code?: string }) => {
      if (error.code === undefined || error.code === 'ERR_ASSERTION') throw error
    },
  )
}

/** Begins; writes, deaths and disks that fail come while it goes on. */
async function resizeLog({ world, cast, prng }: Simulation): Promise<string> {
  const sizeBytes = prng.pick([2, 2, 3, 5, 7]) * MIB + prng.below(3) * 20_000
  const wish = { sizeBytes, sparse: prng.chance(0.3), overwrite: true }
  const { admin } = world.primary
  let refusal = ''
  await cast.verb('log resize', async () => {
    try {
      const { ended } = await admin.resizeLog(wish)
      ended.catch(() => {})
    } catch (error) {
      const { code } = error as { code?: string }
      if (code !== 'LOG_RESIZE_BUSY' && code !== 'LOG_RESIZE_USED') throw error
      refusal = `, refused: ${code}`
    }
  })
  return `log resize ${sizeBytes}${refusal}`
}

async function mapAgain(sim: Simulation, site: Site): Promise<string> {
  const { world, cast, prng } = sim
  const device = prng.pick(cast.presentDevices)
  if (cast.isMapped(site, device)) await cast.unmap(site, device)
  if (prng.chance(0.5)) await write(sim, 5)
  await world.advance(prng.pick([0, 10, 500]))
  if (!world.primary.running || world.primary.group.failure !== null || cast.isMapped(site, device)) return ''
  await cast.map(site, device, prng.chance(0.5) ? { type: 'core' } : { type: 'disk', path: null })
  return `device ${device.number}, slink ${site.slink}`
}

/** What `sitelink-agent export` shows is the history at one point, on every device, while it is open. */
async function lookFrozen(sim: Simulation, { agent }: Site): Promise<string> {
  const { world } = sim
  const row = agent.status().mappings[0]
  if (row === undefined) return 'nothing is mapped'
  const opening = agent.agent.openExport({ name: row.device, hold: sim.prng.chance(0.5), force: false })
  const opened = await world.run(opening).catch((error: Error & { code?: string }) => {
    if (error.code === undefined) throw error
    return error.message
  })
  if (typeof opened === 'string') return opened
  if (!agent.running) return 'it died'
  const { mappings } = agent.status()
  await write(sim, 10)
  await world.advance(sim.prng.pick([0, 50, 500]))
  const { incarnation, lsn } = opened.point
  const wanted = world.primary.history.contentAt(lsn, incarnation)
  if (agent.status().exports.length > 0) {
    for (const { deviceId, device, unmapping } of mappings) {
      if (unmapping) continue
      const at = agent.content(device).firstDifference(wanted.get(deviceId) as SparseBytes)
      demand(
        'order',
        at < 0,
        () =>
          `${device} of ${agent.name}, frozen at ${incarnation}:${lsn}, differs from the history from byte ${at} on`,
      )
    }
  }
  await world.run(opened.close('seen enough'))
  return `at ${incarnation}:${lsn}`
}
