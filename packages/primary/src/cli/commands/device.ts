/**
 * `sitelink device ...`: which devices the group has, and to which sites each of them goes.
 */
import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import {
  action,
  SitelinkError,
  examples,
  formatBytes,
  formatTable,
  parseCount,
  parseSize,
  type SitelinkCommand,
} from '@sitelink/daemon/light'
import type { DiskProvider } from '@sitelink/storage'
import { addDevice, addMapping, deleteDevice, deleteMapping } from '../../admin/changes.js'
import { groupStateFile, refusePathInUse } from '../../admin/path-in-use.js'
import { deviceWish, mapWish } from '../../admin/wishes.js'
import { mapped } from '../../error-map.js'
import { primaryErrors } from '../../errors.js'
import { DEVICE_NUMBER_MAX, REGION_BYTES_DEFAULT, SLINK_NUMBER_MAX } from '../../limits.js'
import { readConfig } from '../read-config.js'
import { PROGRAM } from '../ask-daemon.js'
import { changeConfig } from '../open-state.js'

const deviceNumber = (word: string): number => parseCount(word, 'device number', { min: 0, max: DEVICE_NUMBER_MAX })
const slinkNumber = (word: string): number => parseCount(word, 'slink number', { min: 0, max: SLINK_NUMBER_MAX })

export function deviceCommand(program: SitelinkCommand): void {
  const device = program.command('device').description('devices of the group')
  device
    .command('add <number> <path>')
    .description('add a local device: a block device or a file')
    .requiredOption('--name <name>', 'its name, and that of its NBD export')
    .option('--create <size>', 'make the file first, sparse; it must not exist')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} device add 0 /dev/vg/data --name data --state DIR`,
        `${PROGRAM} device add 1 ./journal.img --name journal --create 1g --state DIR`,
      ]),
    )
    .action(
      action<{ name: string; create?: string }>(async (context, number, path) => {
        const body = {
          number: deviceNumber(number as string),
          path: resolve(path as string),
          name: context.options.name,
        }
        const wish = deviceWish(body)
        const { create } = context.options
        if (create !== undefined) {
          const sizeBytes = parseSize(create, { min: 512 })
          const disks = await hostDisks()
          const made = await mapped(() => disks.create(wish.path, sizeBytes, {}))
          await made.close()
        }
        try {
          await changeConfig(context, 'device-add', body, async (config, state) => {
            const { probeDevice } = await import('../../admin/probe.js')
            const disks = await hostDisks()
            await refusePathInUse({ disks, stateFile: groupStateFile(state.path) }, config, wish.path)
            return addDevice(config, { ...wish, sizeBytes: await probeDevice(disks, wish.path) })
          })
        } catch (error) {
          // Made a moment ago for nothing; a daemon that could not be asked may have taken it all the same.
          if (create !== undefined && SitelinkError.is(error) && error.kind === 'usage')
            await (await hostDisks()).removeFile(wish.path)
          throw error
        }
        context.output.result(
          { device: body.number, name: body.name, path: body.path },
          () => `added device ${body.number} "${body.name}": ${body.path}`,
        )
      }),
    )
  device
    .command('ls')
    .description('list the devices')
    .addHelpText('after', examples([`${PROGRAM} device ls --state DIR`]))
    .action(
      action(async (context) => {
        const { devices, slinks } = await readConfig(context)
        const rows = devices.map(({ id, number, name, path, sizeBytes }) => ({
          number,
          name,
          path,
          sizeBytes,
          slinks: slinks
            .filter((slink) => slink.mappings.some((mapping) => mapping.deviceId === id))
            .map((slink) => slink.number),
        }))
        context.output.result(rows, () =>
          formatTable(
            rows,
            [
              { title: 'DEVICE', cell: (row) => String(row.number), align: 'right' },
              { title: 'NAME', cell: (row) => row.name },
              { title: 'SIZE', cell: (row) => formatBytes(row.sizeBytes), align: 'right' },
              { title: 'SLINKS', cell: (row) => row.slinks.join(',') || '-' },
              { title: 'PATH', cell: (row) => row.path },
            ],
            context.output.columns,
            'no devices',
          ),
        )
      }),
    )
  device
    .command('del <number>')
    .description('delete a device, after everything that is written to it is applied; its file or block device stays')
    .option('--unmap', 'take its mappings away as well')
    .addHelpText('after', examples([`${PROGRAM} device del 0 --unmap --state DIR`]))
    .action(
      action<{ unmap?: boolean }>(async (context, word) => {
        const number = deviceNumber(word as string)
        const unmap = context.options.unmap === true
        await changeConfig(context, 'device-del', { device: number, unmap }, async (config, state, lock) => {
          const next = deleteDevice(config, number, unmap)
          const { APPLY_MS_MAX, applyLog } = await import('../apply-log.js')
          const { lastLsn, appliedLsn, missing, problems } = await applyLog(state, lock)
          // What is left in the log for a device that is gone can only be dropped; one that is there has to be whole.
          if (appliedLsn < lastLsn && !missing.includes(number))
            throw primaryErrors.create('DRAIN_TIMEOUT', { ms: APPLY_MS_MAX, why: problems.join('; ') })
          return next
        })
        context.output.result({ device: number, deleted: true }, () => `deleted device ${number}`)
      }),
    )
  mapCommands(device)
}

/** The disks of this host; a verb that a daemon answers needs none. */
async function hostDisks(): Promise<DiskProvider> {
  const { NodeDiskProvider } = await import('@sitelink/storage')
  return new NodeDiskProvider()
}

interface MapOptions {
  readonly slink: string
  readonly remote: string
  readonly dirtyLog: string
  readonly regionSize?: string
  readonly sync?: boolean
  readonly nosync?: boolean
}

function mapCommands(device: SitelinkCommand): void {
  device
    .command('map <number>')
    .description('replicate a device to a site')
    .requiredOption('--slink <number>', 'the site')
    .requiredOption('--remote <name>', 'name of the device at the agent; of a blockdev site its absolute path here')
    .option('--dirty-log <type>', 'core, disk, or disk:PATH', 'disk')
    .option('--region-size <size>', 'a power of two, at least 1m (default: 1m)')
    .option('--sync', 'copy everything first (default)')
    .option('--nosync', 'both sides are known to be equal: copy nothing')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} device map 0 --slink 1 --remote data --dirty-log disk --region-size 1m --sync --state DIR`,
      ]),
    )
    .action(
      action<MapOptions>(async (context, word) => {
        const { options } = context
        if (options.sync === true && options.nosync === true)
          throw primaryErrors.create('MAP_WORDS', { why: '--sync and --nosync exclude each other' })
        const [type, ...path] = options.dirtyLog.split(':')
        if (type !== 'core' && type !== 'disk')
          throw primaryErrors.create('MAP_WORDS', {
            why: `--dirty-log "${options.dirtyLog}" should be core, disk or disk:PATH`,
          })
        const body = {
          device: deviceNumber(word as string),
          slink: slinkNumber(options.slink),
          remote: options.remote,
          dirtyLog: type,
          dirtyLogPath: path.length === 0 ? null : resolve(path.join(':')),
          regionBytes: options.regionSize === undefined ? REGION_BYTES_DEFAULT : parseSize(options.regionSize),
          initial: options.nosync === true ? 'nosync' : 'sync',
        }
        await changeConfig(context, 'device-map', body, async (config, state) => {
          const wish = mapWish(body, randomBytes(8).toString('hex'))
          const next = addMapping(config, wish)
          if (wish.dirtyLog.type === 'disk' && wish.dirtyLog.path !== null)
            await refusePathInUse(
              { disks: await hostDisks(), stateFile: groupStateFile(state.path) },
              config,
              wish.dirtyLog.path,
            )
          return next
        })
        context.output.result(
          { device: body.device, slink: body.slink, remote: body.remote },
          () => `mapped device ${body.device} to "${body.remote}" of slink ${body.slink}`,
        )
      }),
    )
  device
    .command('unmap <number>')
    .description('stop replicating a device to a site; what is there stays')
    .requiredOption('--slink <number>', 'the site')
    .addHelpText('after', examples([`${PROGRAM} device unmap 0 --slink 1 --state DIR`]))
    .action(
      action<{ slink: string }>(async (context, word) => {
        const body = { device: deviceNumber(word as string), slink: slinkNumber(context.options.slink) }
        await changeConfig(context, 'device-unmap', body, (config) => deleteMapping(config, body.device, body.slink))
        context.output.result(body, () => `device ${body.device} is not mapped to slink ${body.slink} any more`)
      }),
    )
}
