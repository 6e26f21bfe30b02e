/**
 * A table: the whole text, one line for the group and one for each device, and the same from a configuration.
 *
 * Pure. Owns what a line begins with (`[name:] <start> <length> <target type>`) and what lines must be of each other. A
 * refusal names its line and its word; a table that is refused means nothing.
 */
import type { DeviceConfig, GroupConfig, SlinkConfig } from '../config.js'
import { slinkType } from '../blockdev/address.js'
import { primaryErrors } from '../errors.js'
import { NAME_BYTES_MAX } from '../limits.js'
import { printControl, readControl, type ControlLine, type PathReader } from './control-line.js'
import { printDevice, readDevice, type DeviceLine, type RemoteTuple } from './device-line.js'
import { refuse, WordRefusal } from './refusal.js'
import { linkTermsOf } from '../slink/link-terms.js'
import { ASYNCHRONOUS, type SlinkTuple } from './slink-tuple.js'
import { printWords, readLines, type Line } from './tokens.js'
import { SECTOR_BYTES } from './units.js'
import { choice, number, Words } from './words.js'

/** Name of the group where dm has the name or number of a control device. */
export const GROUP_NAME = 'group'

export interface TableDevice extends DeviceLine {
  /** What stands before the line; null if nothing does. */
  readonly name: string | null
  readonly sizeBytes: number
}

export interface Table {
  readonly control: ControlLine | null
  /** At least one, if there is no control line. */
  readonly devices: readonly TableDevice[]
  /** How its relative paths are read: which of its remote devices are paths is known with the slinks. */
  readonly path: PathReader
}

const SECTORS_MAX = Math.floor(Number.MAX_SAFE_INTEGER / SECTOR_BYTES)
const NAME = new RegExp(`^[A-Za-z0-9._-]{1,${NAME_BYTES_MAX}}:$`)

interface Head {
  readonly name: string | null
  readonly sectors: number
  readonly type: 'replicator' | 'replicator-dev'
  readonly words: Words
}

/** Reads a table. `controls`: names of the group besides {@link GROUP_NAME} and what its own line calls it. */
export function readTable(text: string, path: PathReader, controls: readonly string[] = []): Table {
  const lines = refusalsOf(null, () => readLines(text))
  const heads = lines.map((line) => ({ line, head: refusalsOf(line, () => readHead(line)) }))
  let control: ControlLine | null = null
  const names = [GROUP_NAME, ...controls]
  for (const { line, head } of heads.filter((one) => one.head.type === 'replicator')) {
    refusalsOf(line, () => {
      if (control !== null) refuse('EEXIST', 'replicator', 'is there twice: a state directory has one group')
      control = readControl(head.words, path)
      if (head.name !== null) names.push(head.name)
    })
  }
  const devices: TableDevice[] = []
  for (const { line, head } of heads.filter((one) => one.head.type === 'replicator-dev')) {
    refusalsOf(line, () => {
      const device = readDevice(head.words, path, [...new Set(names)])
      if (devices.some((one) => one.number === device.number))
        refuse('EBUSY', String(device.number), 'is the number of two devices')
      devices.push({ ...device, name: head.name, sizeBytes: head.sectors * SECTOR_BYTES })
    })
  }
  if (lines.length === 0)
    throw primaryErrors.create('DM_TABLE', { place: 'table', why: 'it is empty', errno: 'EINVAL' })
  return { control, devices, path }
}

function readHead(line: Line): Head {
  const named = NAME.test(line.words[0] ?? '')
  const words = new Words(named ? line.words.slice(1) : line.words)
  const start = words.next('the start')
  if (number(start, 'start in sectors', { max: SECTORS_MAX }) !== 0) refuse('EINVAL', start, 'should be 0')
  const length = words.next('the length')
  const sectors = number(length, 'length in sectors', { min: 1, max: SECTORS_MAX })
  const target = words.next('the target type')
  const type = choice(target, 'target type', ['replicator', 'replicator-dev'], { shortened: false })
  return { name: named ? (line.words[0] ?? '').slice(0, -1) : null, sectors, type, words }
}

/** Runs `read`; a refusal becomes an error that names the line. */
function refusalsOf<T>(line: Line | null, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof WordRefusal)) throw error
    const place = line === null ? 'table' : `line ${line.number}`
    const { errno, word } = error
    throw primaryErrors.create('DM_TABLE', { place, why: error.message, errno, word }, { cause: error })
  }
}

/** The lines of a configuration; they read back as the same configuration. */
export function printTable(config: GroupConfig): string[] {
  const control = printWords(['0', '1', 'replicator', ...printControl(config.log, slinksOf(config))])
  const devices = [...config.devices].sort((a, b) => a.number - b.number)
  return [`${GROUP_NAME}: ${control}`, ...devices.map((device) => printTableDevice(config, device))]
}

/** The local site and the remote ones as tuples. */
export function slinksOf(config: GroupConfig): SlinkTuple[] {
  const local: SlinkTuple = { ...ASYNCHRONOUS, mode: config.local.mode, type: 'blockdev', number: 0, addresses: [] }
  return [local, ...config.slinks.map((slink) => tupleOf(slink))]
}

export function tupleOf({
  number: slink,
  addresses,
  mode,
  overflow,
  ack,
  fallBehind,
  ...rest
}: SlinkConfig): SlinkTuple {
  const { name, holdMs, paused } = rest
  return {
    type: slinkType({ addresses }),
    number: slink,
    name,
    addresses,
    mode,
    overflow,
    ack,
    fallBehind,
    holdMs,
    ...linkTermsOf(rest),
    paused,
  }
}

function printTableDevice(config: GroupConfig, device: DeviceConfig): string {
  const words = printDevice(GROUP_NAME, { ...device, remotes: remotesOf(config, device.id) })
  return `${device.name}: ${printWords(['0', device.sizeBytes / SECTOR_BYTES, 'replicator-dev', ...words])}`
}

/** The remote tuples of a device, by slink. */
export function remotesOf(config: GroupConfig, deviceId: number): RemoteTuple[] {
  return config.slinks.flatMap(({ number: slink, mappings }) =>
    mappings
      .filter((mapping) => mapping.deviceId === deviceId)
      .map(({ remote, dirtyLog, regionBytes, initial }) => ({ slink, remote, dirtyLog, regionBytes, initial })),
  )
}
