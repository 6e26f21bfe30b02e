/**
 * What comes out of a host's disks when the real code recovers them: the images of the devices, and how far they go.
 *
 * The recovered agent is opened and applies what it may; then it dies and its whole journal is laid over, as at a
 * promotion. The recovered primary is opened and read through its exports, before anything is applied. All of it runs
 * over simulated disks and time; nothing that it does reaches the recording.
 */
import assert from 'node:assert/strict'
import type { NbdRequest } from '@sitelink/nbd'
import { openGroup, type Group } from '@sitelink/primary'
import { Agent } from '@sitelink/agent'
import { openRingLog } from '@sitelink/storage'
import { Prng, SimClock, SparseBytes, type FaultDiskProvider } from '@sitelink/storage/testing'
import { StoredConfig, StoredPeers } from '../pair/primary-host.js'
import { layOver, type Image, type Images } from './image.js'
import type { DeviceAt } from './live-pair.js'

export const AGENT_STATE = '/state'
export const AGENT_JOURNAL = '/state/journal'
const READ_BYTES = 1024 * 1024
const OPEN_MS_MAX = 600_000

/** Devices as they were found, and the last entry of the history that they show. */
export interface Shown {
  readonly lsn: number
  readonly images: Images
}

export type RecoveredAgent =
  /** It says itself that it is no prefix; `shown` is null where it is no copy of anything yet. */
  | { readonly kind: 'inconsistent'; readonly shown: Shown | null }
  /** `applied`: as it would export them; `promoted`: with the journal replayed to its end. */
  | { readonly kind: 'consistent'; readonly applied: Shown; readonly promoted: Shown }

export interface AgentAt {
  readonly devices: readonly DeviceAt[]
  readonly journalBytes: number
}

/** Far more than the disks need for what may be applied. */
const WAIT_MS_MAX = 2000

/** Opens the agent, lets it apply what it may, and looks. `disks` are used up. */
export async function recoverAgent(disks: FaultDiskProvider, at: AgentAt): Promise<RecoveredAgent> {
  const clock = new SimClock()
  const process = clock.process()
  const opened = Agent.open({
    disks,
    clock: process,
    random: new Prng('recovered agent'),
    stateDir: AGENT_STATE,
    journalPath: AGENT_JOURNAL,
    journalBytes: at.journalBytes,
    transports: [],
    devices: at.devices.map(({ name, path }) => ({ name, path })),
  })
  const agent = await clock.runUntil(opened, OPEN_MS_MAX)
  assert.equal(agent.broken, null, 'the agent has recovered')
  await clock.settle()
  const { mappings } = agent.status()
  for (let ms = 0; !hasApplied(agent); ms += 5) {
    // In the middle of a resync a copy may wait for a stamp that only the primary can tell, and entries behind it with it.
    if (ms >= WAIT_MS_MAX && agent.status().replica?.consistent === false) break
    assert(ms < OPEN_MS_MAX, 'the agent applies what it may')
    await clock.advance(5)
  }
  const { replica } = agent.status()
  process.kill()
  const dead = disks.crashProcess('none')
  if (replica === null || mappings.length < at.devices.length) return { kind: 'inconsistent', shown: null }
  assert(replica.appliedLsn !== null && replica.receivedLsn !== null, 'the journal is open')
  const ids = mappings.map(({ deviceId, device }) => {
    const found = at.devices.find(({ name }) => name === device)
    assert(found !== undefined, `${device} is a device of the agent`)
    return [deviceId, found] as const
  })
  const look = (): Map<number, Image> => new Map(ids.map(([id, { path }]) => [id, imageOf(dead, path)]))
  const applied: Shown = { lsn: replica.appliedLsn, images: look() }
  if (!replica.consistent) return { kind: 'inconsistent', shown: applied }
  const promoted = look()
  await layJournalOver(dead, promoted, clock)
  return { kind: 'consistent', applied, promoted: { lsn: replica.receivedLsn, images: promoted } }
}

function hasApplied(agent: Agent): boolean {
  const { replica, mappings } = agent.status()
  if (replica === null || replica.appliedLsn === null) return true
  // Before a mapping comes nothing is there to apply, and the first frame may be one that the primary has not durably yet.
  if (mappings.length === 0) return true
  return replica.appliedLsn >= Math.min(replica.durableLsn ?? 0, replica.primaryDurableLsn ?? 0)
}

function imageOf(disks: FaultDiskProvider, path: string): Image {
  const medium = disks.medium(path)
  return { sizeBytes: medium.sizeBytes, bytes: medium.visible() }
}

async function layJournalOver(disks: FaultDiskProvider, images: Images, clock: SimClock): Promise<void> {
  const silent = { written() {}, durable() {}, spaceFreed() {}, failed() {}, ownerState: () => Buffer.alloc(0) }
  const disk = await disks.open(AGENT_JOURNAL)
  const random = new Prng('promotion')
  const { log } = await openRingLog({ disk, mode: 'open', rule: 'monotone', listener: silent, clock, random })
  const cursor = log.cursor(log.tail)
  for (let read = await cursor.next(READ_BYTES); read !== null; read = await cursor.next(READ_BYTES)) {
    for (const item of read) {
      assert('frame' in item, 'the journal has no hole')
      layOver(images, item.frame)
    }
  }
  cursor.close()
}

/** Opens the group and reads every device as its clients would. `disks` are used up. */
export async function recoverPrimary(disks: FaultDiskProvider): Promise<Shown> {
  const clock = new SimClock()
  const process = clock.process()
  const opened = openGroup({
    clock: process,
    random: new Prng('recovered primary'),
    disks,
    config: await StoredConfig.open(disks),
    peers: await StoredPeers.open(disks),
    event: () => {},
    transport: () => null,
    dirtyLogPath: (slink, mappingId) => `/state/dirty-${slink}-${mappingId}`,
    sitePath: (slink) => `/state/site-${slink}`,
    stateFile: () => Promise.resolve(null),
  })
  const group = await clock.runUntil(opened, OPEN_MS_MAX)
  const lsn = group.log.lastLsn
  const reading = Promise.all(
    group.config.devices.map(async ({ id, sizeBytes }) => [id, await readExport(group, id, sizeBytes)] as const),
  )
  const images = new Map(await clock.runUntil(reading, OPEN_MS_MAX))
  process.kill()
  disks.crashProcess('none')
  return { lsn, images }
}

/** Reads a whole export: what its block status calls zeros is taken for zeros, the rest is read. */
async function readExport(group: Group, deviceId: number, sizeBytes: number): Promise<Image> {
  const bytes = new SparseBytes()
  for (let at = 0; at < sizeBytes;) {
    const extents = await ask(group, deviceId, 'block-status', at, sizeBytes - at)
    for (const { length, zero } of extents.statuses) {
      for (let from = at; !zero && from < at + length; from += READ_BYTES) {
        const { data } = await ask(group, deviceId, 'read', from, Math.min(READ_BYTES, at + length - from))
        bytes.write(data, from)
      }
      at += length
    }
  }
  return { sizeBytes, bytes }
}

interface Answer {
  readonly data: Buffer
  readonly statuses: readonly { readonly length: number; readonly zero: boolean }[]
}

/** A request as the NBD server would hand it over. */
function ask(
  group: Group,
  deviceId: number,
  operation: 'read' | 'block-status',
  offset: number,
  length: number,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request: NbdRequest = {
      operation,
      offset,
      length,
      fua: false,
      noHole: false,
      fastZero: false,
      payload: null,
      complete: (errno) => reject(new Error(`${operation} at ${offset} was answered with errno ${errno}`)),
      completeRead: (pieces) => resolve({ data: Buffer.concat(pieces), statuses: [] }),
      fillRead: () => false,
      completeStatus: (statuses) => resolve({ data: Buffer.alloc(0), statuses }),
    }
    const face = group.exports.get(deviceId)
    assert(face !== undefined, `device id ${deviceId} is exported`)
    face.submit(request)
  })
}
