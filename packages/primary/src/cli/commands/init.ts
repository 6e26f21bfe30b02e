/**
 * `sitelink init`: makes a state directory and the group's replog. What is there already is refused, never replaced.
 */
import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import {
  action,
  ConfigFile,
  examples,
  formatBytes,
  parseSize,
  Progress,
  RealClock,
  RealRandom,
  StateDirectory,
  type SitelinkCommand,
} from '@sitelink/daemon'
import { NodeDiskProvider, openRingLog, type Disk } from '@sitelink/storage'
import type { GroupConfig } from '../../config.js'
import { mapped } from '../../error-map.js'
import { primaryErrors } from '../../errors.js'
import { encodeOwnerState } from '../../group/owner-state.js'
import { LOG_BYTES_DEFAULT, LOG_BYTES_MIN } from '../../limits.js'
import { openAgentLinks } from '../open-links.js'
import { configFormat, peersFormat, PROGRAM } from '../open-state.js'

/** A log begins on one; the storage refuses anything else. */
const BLOCK_BYTES = 4096
const LOOK_BYTES = 1024 * 1024
const ZEROES = Buffer.alloc(LOOK_BYTES)

interface Options {
  readonly log: string
  readonly logSize?: string
  readonly logStart?: string
  readonly sparse?: boolean
  readonly discardEntries?: boolean
}

export function initCommand(program: SitelinkCommand): void {
  program
    .command('init')
    .description('make a group: a state directory, and a replog on a file or block device')
    .requiredOption('--log <path>', 'file (made if it is missing) or block device for the replog')
    .option('--log-size <size>', 'size of the replog (default: 1g for a new file, else what is there)')
    .option('--log-start <offset>', 'where the replog begins on the device (default: 0)')
    .option('--sparse', 'do not write the log once: a full file system can then fail the group at any write')
    .option('--discard-entries', 'use the path although it holds a log with entries, or something else: they are lost')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} init --state /var/lib/sitelink --log /dev/vg/replog`,
        `${PROGRAM} init --state ./state --log ./replog --log-size 1g`,
      ]),
    )
    .action(
      action<Options>(async (context) => {
        const { options, output } = context
        const path = resolve(options.log)
        const startBytes = options.logStart === undefined ? 0 : parseSize(options.logStart)
        if (startBytes % BLOCK_BYTES !== 0)
          throw primaryErrors.create('LOG_START', { bytes: startBytes, blockBytes: BLOCK_BYTES })
        const sizeBytes = options.logSize === undefined ? null : parseSize(options.logSize, { min: LOG_BYTES_MIN })
        const uuid = randomUUID()
        const clock = new RealClock()
        await StateDirectory.refuseReady(context.statePath(), PROGRAM)
        // Before anything is made: a refusal leaves no half-made state directory behind.
        if (options.discardEntries !== true) await mapped(() => refuseUsed(path, startBytes, sizeBytes))
        const state = await mapped(() =>
          StateDirectory.initialise(context.statePath(), { program: PROGRAM }, async (directory, lock) => {
            const config: GroupConfig = {
              uuid,
              epoch: 1,
              log: { path, startBytes },
              nextDeviceId: 1,
              devices: [],
              slinks: [],
              nbd: { listen: null },
            }
            const progress = new Progress({
              label: 'writing the log once',
              clock,
              stream: context.io.stderr,
              silent: output.json,
            })
            let made: boolean
            try {
              made = await createLog({ path, startBytes, sizeBytes, uuid, options, progress })
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
        output.result(
          { uuid, state, log: path },
          () =>
            `made group ${uuid} in ${state}, replog ${path}\nnext: ${PROGRAM} device add 0 PATH --name NAME --state ${state}, then ${PROGRAM} run --state ${state}`,
        )
      }),
    )
}

interface LogWish {
  readonly path: string
  readonly startBytes: number
  readonly sizeBytes: number | null
  readonly uuid: string
  readonly options: Options
  readonly progress: Progress
}

/** True if the file was made. */
async function createLog({ path, startBytes, sizeBytes, uuid, options, progress }: LogWish): Promise<boolean> {
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
      sparse: options.sparse === true,
      discardEntries: options.discardEntries === true,
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
