/**
 * `status --dm`: how a group and its devices stand, a line each, in the form of docs/reference/dm.md.
 *
 * It only reads, and costs no I/O. Every number has a unit or a name, every slink its number, every letter is of one
 * device at one site; nothing is cut off.
 */
import type { Group } from '../group/group.js'
import type { LocalDevice } from '../group/local-device.js'
import type { Outstanding } from '../slink/fall-behind.js'
import type { Slink } from '../slink/slink.js'
import type { Statistics } from './statistics.js'
import { GROUP_NAME } from './table.js'
import { printWord } from './tokens.js'
import { SECTOR_BYTES } from './units.js'

export function statusLines(group: Group, statistics: Statistics, version: string): string[] {
  const devices = [...group.devices.values()].sort((a, b) => a.config.number - b.config.number)
  return [groupLine(group, statistics, version), ...devices.map((device) => deviceLine(group, device))]
}

const sectors = (bytes: number): number => Math.ceil(bytes / SECTOR_BYTES)

const slinksByNumber = (group: Group): Slink[] => [...group.slinks.values()].sort((a, b) => a.number - b.number)

function groupLine(group: Group, statistics: Statistics, version: string): string {
  const nowMs = group.parts.clock.nowMs()
  const { appliedLsn, appliedPosition } = group.writeBack
  const local = group.ledger.outstanding(appliedLsn, appliedPosition, nowMs)
  const sites = [
    { number: 0, forced: false, outstanding: local },
    ...slinksByNumber(group).map((slink) => ({
      number: slink.number,
      forced: slink.protection.forced !== null,
      outstanding: slink.outstanding(),
    })),
  ]
  const ios = sites.reduce((sum, { outstanding }) => sum + outstanding.ios, 0)
  const amount = sites.reduce((sum, { outstanding }) => sum + sectors(outstanding.bytes), 0)
  const core = statistics.read(group, 'core')
  const log = statistics.read(group, 'log')
  const words = [
    `${GROUP_NAME}: 0 1 replicator`,
    ...(core === null ? [] : [`v=${version}`, ...counters(core)]),
    ...sites.map(({ number, forced, outstanding }) => siteWord(number, forced, outstanding)),
    `${ios}/${amount}s/${sectors(group.log.status().sizeBytes)}s`,
    ...(log === null ? [] : [...logLevels(group), ...counters(log)]),
  ]
  return words.join(' ')
}

function siteWord(number: number, forced: boolean, { ios, bytes, ageMs }: Outstanding): string {
  return `${number}:${forced ? 'S' : 'A'},${ios},${sectors(bytes)}s,${Math.round(ageMs ?? 0)}ms`
}

const counters = (of: Readonly<Record<string, number>>): string[] =>
  Object.entries(of).map(([name, value]) => `${name}=${value}`)

/** Where the log stands, in sectors of its file or device, and how much the overlay holds. */
function logLevels(group: Group): string[] {
  const { places, ringBytes, sizeBytes, freeBytes } = group.log.status()
  const first = group.config.log.startBytes + sizeBytes - ringBytes
  const at = (place: number): number => (first + place) / SECTOR_BYTES
  const held = group.writeBack.intervalCount
  return counters({
    'ring->start': first / SECTOR_BYTES,
    'ring->head': at(places.tail),
    'ring->tail': at(places.writtenEnd),
    'ring->next_avail': at(places.end),
    'ring->end': (first + ringBytes) / SECTOR_BYTES,
    ring_free: Math.floor(freeBytes / SECTOR_BYTES),
    he: held,
    he_max: Math.max(group.counters.intervalsPeak, held),
  })
}

function deviceLine(group: Group, local: LocalDevice): string {
  const { name, number, sizeBytes } = local.config
  const remotes = slinksByNumber(group).flatMap((slink) => remoteWord(group, slink, local.id))
  const words = [`${name}: 0`, sectors(sizeBytes), `replicator-dev ${GROUP_NAME}`, number, localWord(local), ...remotes]
  return words.join(' ')
}

/** A closed device shows its path: nothing else says which one is missed. */
function localWord(local: LocalDevice): string {
  if (local.device === null) return `0:RW,-,${printWord(local.config.path)}`
  return local.problem === null ? '0:A,-' : '0:W,-'
}

/** What is at a site is written only: an error of it is one of writing. A device that cannot be opened shows its path. */
function remoteWord(group: Group, slink: Slink, deviceId: number): string[] {
  const mapping = slink.mappings.get(deviceId)
  if (mapping === undefined) return []
  const closed = group.sites.trouble(slink.number, deviceId)?.kind === 'open'
  const letter = closed ? 'RW' : slink.stream === null ? 'W' : 'A'
  const running = slink.stream !== null && mapping.dirtyCount > 0 ? '+' : ''
  const regions = `${mapping.regionCount - mapping.dirtyCount}${running}/${mapping.regionCount}`
  return [`${slink.number}:${letter},${regions}${closed ? `,${printWord(mapping.config.remote)}` : ''}`]
}
