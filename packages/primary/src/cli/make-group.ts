/**
 * Makes a group: a state directory with its first files, and a replog in a file or on a block device.
 *
 * What is there already is refused, never replaced, unless the caller was told to; whatever fails, nothing that was made
 * here is left.
 */
import { randomUUID } from 'node:crypto'
import {
  ConfigFile,
  formatBytes,
  Progress,
  RealClock,
  RealRandom,
  StateDirectory,
  type CliContext,
} from '@sitelink/daemon'
import { NodeDiskProvider, openRingLog, type Disk } from '@sitelink/storage'
import type { GroupConfig } from '../config.js'
import { mapped } from '../error-map.js'
import { primaryErrors } from '../errors.js'
import { encodeOwnerState } from '../group/owner-state.js'
import { LOG_BYTES_DEFAULT } from '../limits.js'
import { openAgentLinks } from './open-links.js'
import { PROGRAM } from './ask-daemon.js'
import { configFormat, peersFormat } from './open-state.js'

/** A log begins on one; the storage refuses anything else. */
const BLOCK_BYTES = 4096
const LOOK_BYTES = 1024 * 1024
const ZEROES = Buffer.alloc(LOOK_BYTES)

export interface NewGroup {
  readonly log: {
    /** Absolute. */
    readonly path: string
    readonly startBytes: number
    /** Null: 1 GiB for a new file, else what is there. */
    readonly sizeBytes: number | null
    readonly sparse: boolean
    readonly discardEntries: boolean
  }
  /** What the group has from its first moment on; `empty` has a log and nothing else. Before anything is written. */
  readonly fill: (empty: GroupConfig, state: StateDirectory) => GroupConfig | Promise<GroupConfig>
}

export interface MadeGroup {
  readonly uuid: string
  /** Absolute path of the state directory. */
  readonly state: string
}

export async function makeGroup(context: CliContext<unknown>, { log, fill }: NewGroup): Promise<MadeGroup> {
  const { path, startBytes, sizeBytes } = log
  if (startBytes % BLOCK_BYTES !== 0)
    throw primaryErrors.create('LOG_START', { bytes: startBytes, blockBytes: BLOCK_BYTES })
  const uuid = randomUUID()
  await StateDirectory.refuseReady(context.statePath(), PROGRAM)
  // Before anything is made: a refusal leaves no half-made state directory behind.
  if (!log.discardEntries) await mapped(() => refuseUsed(path, startBytes, sizeBytes))
  const empty: GroupConfig = {
    uuid,
    epoch: 1,
    log: { path, startBytes },
    nextDeviceId: 1,
    devices: [],
    local: { mode: 'async' },
    slinks: [],
    nbd: { listen: null },
  }
  const { output, io } = context
  const state = await mapped(() =>
    StateDirectory.initialise(context.statePath(), { program: PROGRAM }, async (directory, lock) => {
      const config = await fill(empty, directory)
      const clock = new RealClock()
      const progress = new Progress({ label: 'writing the log once', clock, stream: io.stderr, silent: output.json })
      let made: boolean
      try {
        made = await createLog(log, uuid, progress)
      } finally {
        progress.finish()
      }
      try {
        await ConfigFile.create(directory, lock, configFormat, config)
        await ConfigFile.create(directory, lock, peersFormat, { peers: {} })
        await openAgentLinks(directory, lock, clock)
      } catch (error) {
        if (made) await new NodeDiskProvider().removeFile(path).catch(() => {})
        throw error
      }
      return directory.path
    }),
  )
  return { uuid, state }
}

/** True if the file was made. */
async function createLog(wish: NewGroup['log'], uuid: string, progress: Progress): Promise<boolean> {
  const { path, startBytes, sizeBytes, sparse, discardEntries } = wish
  const disks = new NodeDiskProvider()
  const found = await disks.exists(path)
  const made = found === null
  const fileBytes = startBytes + (sizeBytes ?? LOG_BYTES_DEFAULT)
  const disk: Disk = made
    ? await disks.create(path, fileBytes, { exclusive: true, preallocate: false })
    : await disks.open(path, { exclusive: true })
  const sizeFound = disk.sizeBytes
  let opened = false
  try {
    if (!made && found === 'file' && disk.sizeBytes < fileBytes && sizeBytes !== null) await disk.resize(fileBytes)
    const owner = encodeOwnerState({ groupUuid: uuid, epoch: 1, appliedLsn: 0, slinks: [], lost: [] })
    const { log } = await openRingLog({
      disk,
      mode: 'create',
      rule: 'dense',
      startOffset: startBytes,
      ...(sizeBytes === null ? {} : { sizeBytes }),
      sparse,
      discardEntries,
      progress: (done, total) => progress.update(done, total),
      clock: new RealClock(),
      random: new RealRandom(),
      listener: { written() {}, durable() {}, spaceFreed() {}, failed() {}, ownerState: () => owner },
    })
    opened = true
    await log.close()
    return made
  } catch (error) {
    if (!made && disk.sizeBytes > sizeFound) await disk.resize(sizeFound).catch(() => {})
    if (!opened) await disk.close().catch(() => {})
    if (made) await disks.removeFile(path).catch(() => {})
    throw error
  }
}

/** Bytes that are not zeros are not overwritten without being told to: all of what the log would take is looked at. */
async function refuseUsed(path: string, startBytes: number, sizeBytes: number | null): Promise<void> {
  const disks = new NodeDiskProvider()
  if ((await disks.exists(path)) === null) return
  const disk = await disks.open(path, { readOnly: true })
  try {
    const end = Math.min(disk.sizeBytes, sizeBytes === null ? Infinity : startBytes + sizeBytes)
    const buffer = Buffer.alloc(LOOK_BYTES)
    for (let at = startBytes; at < end; at += LOOK_BYTES) {
      const bytes = buffer.subarray(0, Math.min(LOOK_BYTES, end - at))
      await disk.read(bytes, at)
      if (!bytes.equals(ZEROES.subarray(0, bytes.length)))
        throw primaryErrors.create('LOG_EXISTS', { path, what: `${formatBytes(disk.sizeBytes)} that are not all zero` })
    }
  } finally {
    await disk.close()
  }
}
