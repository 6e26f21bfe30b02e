/**
 * `sitelink-agent device ...`: which files and block devices a primary may replicate to.
 */
import { resolve } from 'node:path'
import {
  action,
  examples,
  formatBytes,
  formatTable,
  parseSize,
  SitelinkError,
  type CliContext,
  type SitelinkCommand,
} from '@sitelink/daemon/light'
import { NodeDiskProvider, openBlockDevice } from '@sitelink/storage'
import { checkDeviceName, checkDevicePath, withDevice, withoutDevice } from '../../admin/devices.js'
import { agentErrors, reason } from '../../errors.js'
import { REPLICA_FILE, ReplicaFile } from '../../replica/replica-file.js'
import type { ReplicaMapping } from '../../replica/replica-state.js'
import type { AgentStatus } from '../../status.js'
import { coded, eitherWay, PROGRAM } from '../surroundings.js'

type DeviceRow = AgentStatus['devices'][number]

export function deviceCommand(program: SitelinkCommand): void {
  const device = program.command('device').description('devices that this agent offers')
  device
    .command('add <name> <path>')
    .description('offer a block device or a file as a copy of a device of the primary')
    .option('--create <size>', 'make the file first, sparse; it must not exist')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} device add data /dev/vg/data-copy --state DIR`,
        `${PROGRAM} device add data ./data.img --create 10g --state DIR`,
      ]),
    )
    .action(
      action<{ create?: string }>(async (context, name, path) => {
        await addDevice(context, name as string, resolve(path as string), context.options.create ?? null)
      }),
    )
  device
    .command('ls')
    .description('list the devices')
    .addHelpText('after', examples([`${PROGRAM} device ls --state DIR`]))
    .action(
      action(async (context) => {
        const rows = await eitherWay<readonly DeviceRow[]>(context, {
          online: (client) => client.call<readonly DeviceRow[]>('device-ls'),
          offline: async ({ state, config }) => {
            const mappings = await mappingsOf(state.path)
            return Promise.all(config.current.devices.map((one) => probe(one, mappings)))
          },
        })
        context.output.result(rows, () => deviceTable(rows, context.output.columns))
      }),
    )
  device
    .command('del <name>')
    .description('offer a device no longer; the file or block device stays as it is')
    .option('--force', 'although the primary maps it: everything has to be copied again if it comes back')
    .addHelpText('after', examples([`${PROGRAM} device del data --state DIR`]))
    .action(
      action<{ force?: boolean }>(async (context, word) => {
        const name = word as string
        const force = context.options.force === true
        await eitherWay(context, {
          online: (client) => client.call('device-del', { name, force }),
          offline: async ({ state, config }) => {
            const mapped = (await mappingsOf(state.path)).find((row) => row.remote === name) ?? null
            await config.update((current) => withoutDevice(current, name, mapped, force, state.path))
          },
        })
        context.output.result({ device: name, deleted: true }, () => `device ${name} is not offered any more`)
      }),
    )
}

async function addDevice(
  context: CliContext<unknown>,
  name: string,
  path: string,
  create: string | null,
): Promise<void> {
  const disks = new NodeDiskProvider()
  const sizeBytes = create === null ? null : parseSize(create, { min: 512 })
  await context.state()
  await coded(async () => {
    if (sizeBytes === null) return
    if ((await disks.exists(path)) !== null) throw agentErrors.create('AGENT_DEVICE_PRESENT', { path })
    const made = await disks.create(path, sizeBytes)
    await made.close()
  })
  try {
    const added = await eitherWay<{ readonly problem: string | null }>(context, {
      online: (client) => client.call('device-add', { name, path }),
      offline: async ({ state, config }) => {
        checkDeviceName(config.current, name, state.path)
        await checkDevicePath(disks, config.current, path, state.path)
        const opened = await openBlockDevice(disks, path, { exclusive: true })
        await opened.close()
        await config.update((current) => withDevice(current, { name, path }))
        return { problem: null }
      },
    })
    const { problem } = added
    context.output.result({ device: name, path, problem }, () =>
      problem === null
        ? `added device ${name}: ${path}`
        : `added device ${name}: ${path}, which cannot be used yet: ${problem}`,
    )
  } catch (error) {
    // A file that was made for a device that was refused is of no use to anybody; after any other error it may be in use.
    const refused = SitelinkError.is(error) && error.code.startsWith('AGENT_DEVICE_')
    if (sizeBytes !== null && refused) await disks.removeFile(path).catch(() => {})
    throw error
  }
}

async function mappingsOf(stateDir: string): Promise<readonly ReplicaMapping[]> {
  const file = await ReplicaFile.open(`${stateDir}/${REPLICA_FILE}`, new NodeDiskProvider(), stateDir)
  return file?.current.mappings ?? []
}

/** A look at a device while no daemon has it open. */
async function probe(
  { name, path }: { readonly name: string; readonly path: string },
  mappings: readonly ReplicaMapping[],
): Promise<DeviceRow> {
  const mapped = mappings.some((row) => row.remote === name)
  try {
    const device = await openBlockDevice(new NodeDiskProvider(), path, { readOnly: true })
    const { sizeBytes } = device
    await device.close()
    return { name, path, sizeBytes, problem: null, mapped }
  } catch (error) {
    return { name, path, sizeBytes: null, problem: reason(error), mapped }
  }
}

function deviceTable(rows: readonly DeviceRow[], columns: number): string {
  return formatTable(
    rows,
    [
      { title: 'NAME', cell: (row) => row.name },
      { title: 'SIZE', cell: (row) => formatBytes(row.sizeBytes), align: 'right' },
      { title: 'MAPPED', cell: (row) => (row.mapped ? 'yes' : 'no') },
      { title: 'STATE', cell: (row) => row.problem ?? 'ok', charsMin: 12 },
      { title: 'PATH', cell: (row) => row.path, charsMin: 12 },
    ],
    columns,
    'no devices',
  )
}
