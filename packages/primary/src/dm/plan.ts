/**
 * From words to steps: what a table or a message asks of the configuration that is there.
 *
 * Pure. A line sets what it names and nothing else: the slinks of the group (those that its line lacks go), the remote
 * devices of a device (likewise); a device without a line stays as it is. What is there already is left alone, so that a
 * printed table changes nothing. What the words can say and the program cannot do is refused here, by name.
 */
import { isDeepStrictEqual } from 'node:util'
import { regionBytesProblem } from '@sitelink/storage'
import type { Step } from '../admin/steps.js'
import { checkAddress } from '../admin/wishes.js'
import type { DeviceConfig, GroupConfig, SlinkConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import { isLimited } from '../slink/fall-behind.js'
import { isBlockdev } from '../blockdev/address.js'
import type { ControlLine, LogWords, PathReader } from './control-line.js'
import { WordRefusal } from './refusal.js'
import type { RemoteTuple } from './device-line.js'
import { linkTermsOf } from '../slink/link-terms.js'
import type { SlinkTerms, SlinkTuple } from './slink-tuple.js'
import { remotesOf, tupleOf, type Table, type TableDevice } from './table.js'
import { SECTOR_BYTES } from './units.js'

export interface PlanFacts {
  /** Bytes of what is at a path; called for devices that are not of the group yet. */
  readonly sizeOf: (path: string) => number
  /** 16 new random hex digits. */
  readonly mappingId: () => string
}

function refuseTable(errno: string, why: string, word: string | null = null): never {
  throw primaryErrors.create('DM_TABLE', { place: 'table', why, errno, word })
}

/** Paths of the devices that a table would add. */
export function newPaths(table: Table, config: GroupConfig): string[] {
  const known = new Set(config.devices.map((device) => device.number))
  return table.devices.filter((device) => !known.has(device.number)).map((device) => device.path)
}

/** The steps that make of `config` what the table says; empty if it is that already. */
export function planTable(table: Table, config: GroupConfig, facts: PlanFacts): Step[] {
  const lines = table.devices.map((one) => {
    const line = { ...one, remotes: refusalsOf(() => sitePaths(one.remotes, slinksAfter(table, config), table.path)) }
    return { line, device: knownDevice(config, line) }
  })
  if (table.control !== null) sameLog(table.control.log, config)
  return [
    ...lines.flatMap(({ line, device }) => (device === null ? [] : planUnmaps(line, device, config))),
    ...(table.control === null ? [] : planSlinks(table.control, config)),
    ...lines.flatMap(({ line, device }) => (device === null ? [planDevice(line, facts)] : [])),
    ...lines.flatMap(({ line, device }) =>
      planMaps(line.number, line.sizeBytes, line.remotes, device === null ? [] : remotesOf(config, device.id), facts),
    ),
  ]
}

/** The slinks that there will be, as far as their types go. */
function slinksAfter({ control }: Table, config: GroupConfig): readonly SiteAddresses[] {
  return control === null ? config.slinks : control.slinks
}

interface SiteAddresses {
  readonly number: number
  readonly addresses: readonly string[]
}

/** At a blockdev slink the remote device is a path of this host; at an agent's it is a name, and stays as it is. */
export function sitePaths(
  remotes: readonly RemoteTuple[],
  slinks: readonly SiteAddresses[],
  path: PathReader,
): RemoteTuple[] {
  const sites = new Set(slinks.filter((slink) => isBlockdev(slink)).map((slink) => slink.number))
  return remotes.map((one) => (sites.has(one.slink) ? { ...one, remote: path(one.remote) } : one))
}

function refusalsOf<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof WordRefusal)) throw error
    return refuseTable(error.errno, error.message, error.word)
  }
}

function sameLog({ path, startBytes, mode }: LogWords, { log }: GroupConfig): void {
  if (path !== log.path) refuseTable('EINVAL', `"${path}" is not the log of this group, which is ${log.path}`, path)
  const start = String(startBytes / SECTOR_BYTES)
  if (startBytes !== log.startBytes)
    refuseTable(
      'EINVAL',
      `"${start}" is not where the log begins: it begins at sector ${log.startBytes / SECTOR_BYTES}`,
      start,
    )
  if (mode === 'create') refuseTable('EPERM', '"create" would destroy the log of this group: open it', 'create')
}

/** The device that a line is about, if it is there; what a line cannot change of it is refused. */
function knownDevice(config: GroupConfig, line: TableDevice): DeviceConfig | null {
  const device = config.devices.find((one) => one.number === line.number)
  if (device === undefined) return null
  if (line.path !== device.path) throw primaryErrors.create('DEVICE_EXISTS', { device: line.number, path: device.path })
  if (line.name !== null && line.name !== device.name)
    refuseTable('EBUSY', `"${line.name}" is not the name of device ${line.number}, which is ${device.name}`, line.name)
  const sectors = String(line.sizeBytes / SECTOR_BYTES)
  if (line.sizeBytes !== device.sizeBytes)
    refuseTable(
      'EINVAL',
      `"${sectors}" is not the length of device ${line.number}: ${device.sizeBytes / SECTOR_BYTES} sectors`,
      sectors,
    )
  return device
}

function planUnmaps(line: TableDevice, device: DeviceConfig, config: GroupConfig): Step[] {
  const wanted = new Set(line.remotes.map((remote) => remote.slink))
  return remotesOf(config, device.id)
    .filter(({ slink }) => !wanted.has(slink))
    .map(({ slink }) => ({ kind: 'unmap', device: line.number, slink }))
}

function planSlinks({ slinks }: ControlLine, config: GroupConfig): Step[] {
  const [local, ...remote] = slinks
  const localSteps = local === undefined ? [] : planLocal(local, config)
  const wanted = new Set(remote.map((slink) => slink.number))
  const gone = config.slinks.filter((slink) => !wanted.has(slink.number))
  return [
    ...localSteps,
    ...gone.map((slink): Step => ({ kind: 'delete-slink', slink: slink.number, unmap: false })),
    ...remote.flatMap((slink) => {
      const present = config.slinks.find((one) => one.number === slink.number)
      return present === undefined ? planNewSlink(slink) : planSlink(slink, present)
    }),
  ]
}

/** Slink 0 writes back within bounds of its own and is never dropped; whether writers wait for it can be said. */
function planLocal({ mode, fallBehind }: SlinkTuple, { local }: GroupConfig): Step[] {
  const why = 'the local site writes back from the log, within bounds of its own'
  if (isLimited(fallBehind))
    throw primaryErrors.create('DM_UNSUPPORTED', { what: 'a fall-behind limit of slink 0', why })
  return mode === local.mode ? [] : [{ kind: 'change-slink', slink: 0, change: { mode } }]
}

function termsOf({ name, mode, overflow, ack, fallBehind, holdMs, paused, ...rest }: SlinkTerms): SlinkTerms {
  return { name, mode, overflow, ack, fallBehind, holdMs, ...linkTermsOf(rest), paused }
}

/** A new slink with all its terms. */
export function planNewSlink(slink: SlinkTuple): Step[] {
  if (slink.type === 'agent') for (const address of slink.addresses) checkAddress(address)
  const { number, addresses } = slink
  const { paused, ...terms } = termsOf(slink)
  const add: Step = { kind: 'add-slink', wish: { number, addresses, ...terms } }
  return paused ? [add, { kind: 'change-slink', slink: number, change: { paused } }] : [add]
}

function planSlink(slink: SlinkTuple, present: SlinkConfig): Step[] {
  if (isDeepStrictEqual(slink, tupleOf(present))) return []
  planNewSlink(slink)
  return [{ kind: 'change-slink', slink: slink.number, change: { addresses: slink.addresses, ...termsOf(slink) } }]
}

function planDevice({ number, name, path, sizeBytes }: TableDevice, { sizeOf }: PlanFacts): Step {
  const there = sizeOf(path)
  const sectors = String(sizeBytes / SECTOR_BYTES)
  if (sizeBytes > there)
    refuseTable(
      'EINVAL',
      `"${sectors}" sectors are more than ${path} has: ${Math.floor(there / SECTOR_BYTES)}`,
      sectors,
    )
  return { kind: 'add-device', wish: { number, path, name: name ?? `dev${number}`, sizeBytes } }
}

/** The mappings of `remotes` that are not among `present`; one that is there otherwise is refused. */
export function planMaps(
  device: number,
  sizeBytes: number,
  remotes: readonly RemoteTuple[],
  present: readonly RemoteTuple[],
  { mappingId }: PlanFacts,
): Step[] {
  return remotes.flatMap((remote): Step[] => {
    const { slink, initial, ...what } = remote
    const found = present.find((one) => one.slink === slink)
    if (found !== undefined) {
      const same = { ...found, initial, slink }
      // `sync` and `nosync` acted when the mapping was made.
      if (!isDeepStrictEqual(same, remote)) throw primaryErrors.create('MAP_EXISTS', { device, slink })
      return []
    }
    const problem = regionBytesProblem(remote.regionBytes, sizeBytes)
    if (problem !== null) throw primaryErrors.create('REGION_SIZE', { bytes: remote.regionBytes, why: problem })
    return [{ kind: 'map', wish: { device, slink, ...what, initial, mappingId: mappingId() } }]
  })
}
