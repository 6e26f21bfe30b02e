/**
 * Changes of the configuration, as pure functions: the old one and a wish in, the new one or a refusal out.
 *
 * Owns every rule that a configuration obeys when it is changed by a verb. The same functions serve a running daemon
 * and a state directory without one; what a change means for what is running is `group-admin.ts`.
 */
import { BLOCKDEV_ADDRESS, isBlockdev, slinkType } from '../blockdev/address.js'
import { LINK_TERMS_DEFAULT, pickTerms, type LinkTerms } from '../slink/link-terms.js'
import { fallBehindProblem, NO_LIMIT, type FallBehind } from '../slink/fall-behind.js'
import { defaultOverflow, type AckLevel, type OverflowPolicy, type SlinkMode } from '../slink/guard.js'
import type { DeviceConfig, DirtyLogConfig, GroupConfig, MappingConfig, SlinkConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import {
  BLOCKDEV_SLINKS_MAX,
  DEVICE_COUNT_MAX,
  NAME_BYTES_MAX,
  REGION_BYTES_MAX,
  REGION_BYTES_MIN,
  SITE_PATH_BYTES_MAX,
  SLINK_COUNT_MAX,
} from '../limits.js'

export interface NewDevice {
  readonly number: number
  readonly path: string
  readonly name: string
  readonly sizeBytes: number
}

export interface NewSlink extends Partial<LinkTerms> {
  readonly number: number
  readonly name?: string | null
  readonly addresses: readonly string[]
  readonly mode: SlinkMode
  readonly ack?: AckLevel
  readonly overflow?: OverflowPolicy
  readonly holdMs?: number | null
  readonly fallBehind?: FallBehind
}

export type SlinkChange = Partial<Omit<SlinkConfig, 'number' | 'mappings'>>

export interface NewMapping {
  readonly device: number
  readonly slink: number
  readonly remote: string
  readonly dirtyLog: DirtyLogConfig
  readonly regionBytes: number
  readonly initial: 'sync' | 'nosync'
  /** 16 random hex digits. */
  readonly mappingId: string
}

export function deviceOf(config: GroupConfig, number: number): DeviceConfig {
  const device = config.devices.find((one) => one.number === number)
  if (device === undefined) throw primaryErrors.create('DEVICE_UNKNOWN', { device: number })
  return device
}

export function slinkOf(config: GroupConfig, number: number): SlinkConfig {
  const slink = config.slinks.find((one) => one.number === number)
  if (slink === undefined) throw primaryErrors.create(number === 0 ? 'SLINK_LOCAL' : 'SLINK_UNKNOWN', { slink: number })
  return slink
}

export function checkName(name: string): void {
  const why =
    name === ''
      ? 'it is empty'
      : Buffer.byteLength(name) > NAME_BYTES_MAX
        ? `it has more than ${NAME_BYTES_MAX} bytes`
        : /^[A-Za-z0-9._-]+$/.test(name)
          ? null
          : 'it has other characters'
  if (why !== null) throw primaryErrors.create('DEVICE_NAME_BAD', { name, why })
}

export function addDevice(config: GroupConfig, wish: NewDevice): GroupConfig {
  checkName(wish.name)
  if (config.devices.length >= DEVICE_COUNT_MAX) throw primaryErrors.create('DEVICE_COUNT', { max: DEVICE_COUNT_MAX })
  const same = config.devices.find((one) => one.number === wish.number)
  if (same !== undefined) throw primaryErrors.create('DEVICE_EXISTS', { device: same.number, path: same.path })
  const named = config.devices.find((one) => one.name === wish.name)
  if (named !== undefined) throw primaryErrors.create('DEVICE_NAME_TAKEN', { name: wish.name, device: named.number })
  const device = {
    id: config.nextDeviceId,
    number: wish.number,
    name: wish.name,
    path: wish.path,
    sizeBytes: wish.sizeBytes,
  }
  return { ...config, nextDeviceId: config.nextDeviceId + 1, devices: [...config.devices, device] }
}

export function deleteDevice(config: GroupConfig, number: number, unmap: boolean): GroupConfig {
  const device = deviceOf(config, number)
  const mapped = config.slinks.filter((slink) => slink.mappings.some((mapping) => mapping.deviceId === device.id))
  if (mapped.length > 0 && !unmap) {
    throw primaryErrors.create('DEVICE_MAPPED', {
      device: number,
      slinks: mapped.map((slink) => slink.number).join(', '),
    })
  }
  return {
    ...config,
    devices: config.devices.filter((one) => one.id !== device.id),
    slinks: config.slinks.map((slink) => ({
      ...slink,
      mappings: slink.mappings.filter((mapping) => mapping.deviceId !== device.id),
    })),
  }
}

function checkPolicy(slink: Pick<SlinkConfig, 'mode' | 'fallBehind' | 'overflow' | 'holdMs' | 'addresses'>): void {
  const why = fallBehindProblem(slink.fallBehind, slink.mode)
  if (why !== null) throw primaryErrors.create('SLINK_POLICY', { why })
  if (slink.addresses.length === 0)
    throw primaryErrors.create('SLINK_POLICY', { why: 'a slink needs at least one address (--to), or --blockdev' })
  if (isBlockdev(slink) && slink.addresses.length > 1)
    throw primaryErrors.create('SLINK_POLICY', { why: `${BLOCKDEV_ADDRESS} stands alone: such a site has no agent` })
}

export function addSlink(config: GroupConfig, wish: NewSlink): GroupConfig {
  if (wish.number === 0) throw primaryErrors.create('SLINK_LOCAL')
  if (config.slinks.some((one) => one.number === wish.number))
    throw primaryErrors.create('SLINK_EXISTS', { slink: wish.number })
  if (config.slinks.length >= SLINK_COUNT_MAX) throw primaryErrors.create('SLINK_COUNT', { max: SLINK_COUNT_MAX })
  if (isBlockdev(wish) && config.slinks.filter((one) => isBlockdev(one)).length >= BLOCKDEV_SLINKS_MAX)
    throw primaryErrors.create('SLINK_BLOCKDEV_COUNT', { max: BLOCKDEV_SLINKS_MAX })
  const slink: SlinkConfig = {
    number: wish.number,
    name: wish.name ?? null,
    addresses: wish.addresses,
    mode: wish.mode,
    ack: wish.ack ?? 'received',
    overflow: wish.overflow ?? defaultOverflow(wish.mode),
    holdMs: wish.holdMs ?? null,
    fallBehind: wish.fallBehind ?? NO_LIMIT,
    ...LINK_TERMS_DEFAULT,
    ...pickTerms(wish),
    paused: false,
    mappings: [],
  }
  checkPolicy(slink)
  checkSiteName(config, slink)
  const slinks = [...config.slinks, slink].sort((a, b) => a.number - b.number)
  return { ...config, slinks }
}

export function changeSlink(config: GroupConfig, number: number, change: SlinkChange): GroupConfig {
  if (number === 0) return changeLocal(config, change)
  const before = slinkOf(config, number)
  const changed = { ...before, ...change }
  if (slinkType(changed) !== slinkType(before))
    throw primaryErrors.create('SLINK_POLICY', {
      why: `slink ${number} is of type ${slinkType(before)} and stays so: delete it and add another`,
    })
  checkPolicy(changed)
  checkSiteName(config, changed)
  return replaceSlink(config, changed)
}

/** Of slink 0 nothing can be changed but whether writers wait for it. */
function changeLocal(config: GroupConfig, { mode, ...more }: SlinkChange): GroupConfig {
  const others = Object.keys(more).join(', ')
  if (others !== '' || mode === undefined)
    throw primaryErrors.create('SLINK_LOCAL_KEYS', { keys: others === '' ? 'nothing' : others })
  return { ...config, local: { mode } }
}

/** Name of the local site; others are called as the operator likes. */
export const LOCAL_NAME = 'local'

function checkSiteName({ slinks }: GroupConfig, { number, name }: Pick<SlinkConfig, 'number' | 'name'>): void {
  if (name === null) return
  checkName(name)
  const same = slinks.find((one) => one.name === name && one.number !== number)
  if (name !== LOCAL_NAME && same === undefined) return
  throw primaryErrors.create('SLINK_NAME_TAKEN', { name, slink: same?.number ?? 0 })
}

export function deleteSlink(config: GroupConfig, number: number, unmap: boolean): GroupConfig {
  const slink = slinkOf(config, number)
  if (slink.mappings.length > 0 && !unmap) {
    const devices = slink.mappings
      .map((mapping) => config.devices.find((one) => one.id === mapping.deviceId)?.number)
      .join(', ')
    throw primaryErrors.create('SLINK_HAS_DEVICES', { slink: number, devices })
  }
  return { ...config, slinks: config.slinks.filter((one) => one.number !== number) }
}

export function addMapping(config: GroupConfig, wish: NewMapping): GroupConfig {
  const device = deviceOf(config, wish.device)
  const slink = slinkOf(config, wish.slink)
  if (slink.mappings.some((mapping) => mapping.deviceId === device.id)) {
    throw primaryErrors.create('MAP_EXISTS', { device: wish.device, slink: wish.slink })
  }
  const used = slink.mappings.find((mapping) => mapping.remote === wish.remote)
  if (used !== undefined) {
    const other = config.devices.find((one) => one.id === used.deviceId)
    throw primaryErrors.create('MAP_REMOTE_USED', {
      remote: wish.remote,
      slink: wish.slink,
      device: other?.number ?? used.deviceId,
    })
  }
  if (isBlockdev(slink)) checkSitePath(wish.remote)
  checkRegion(wish.regionBytes)
  const mapping: MappingConfig = {
    deviceId: device.id,
    mappingId: wish.mappingId,
    remote: wish.remote,
    dirtyLog: wish.dirtyLog,
    regionBytes: wish.regionBytes,
    initial: wish.initial,
    since: null,
  }
  return replaceSlink(config, { ...slink, mappings: [...slink.mappings, mapping] })
}

/** At a blockdev site the remote device is a path of this host. */
function checkSitePath(path: string): void {
  const why = !path.startsWith('/')
    ? 'it should be an absolute path of this host'
    : Buffer.byteLength(path) > SITE_PATH_BYTES_MAX
      ? `it has more than ${SITE_PATH_BYTES_MAX} bytes`
      : null
  if (why !== null) throw primaryErrors.create('MAP_PATH', { path, why })
}

function checkRegion(bytes: number): void {
  const why =
    bytes < REGION_BYTES_MIN
      ? 'the smallest is 1m'
      : bytes > REGION_BYTES_MAX
        ? 'the largest is 1g'
        : Number.isInteger(Math.log2(bytes))
          ? null
          : 'it is not a power of two'
  if (why !== null) throw primaryErrors.create('REGION_SIZE', { bytes, why })
}

/** The mapping has been made: it counts from `since` on. */
export function mappingMade(
  config: GroupConfig,
  slinkNumber: number,
  deviceId: number,
  since: readonly [number, number],
): GroupConfig {
  const slink = slinkOf(config, slinkNumber)
  const mappings = slink.mappings.map((mapping) => (mapping.deviceId === deviceId ? { ...mapping, since } : mapping))
  return replaceSlink(config, { ...slink, mappings })
}

export function deleteMapping(config: GroupConfig, deviceNumber: number, slinkNumber: number): GroupConfig {
  const device = deviceOf(config, deviceNumber)
  const slink = slinkOf(config, slinkNumber)
  if (!slink.mappings.some((mapping) => mapping.deviceId === device.id)) {
    throw primaryErrors.create('MAP_UNKNOWN', { device: deviceNumber, slink: slinkNumber })
  }
  return replaceSlink(config, {
    ...slink,
    mappings: slink.mappings.filter((mapping) => mapping.deviceId !== device.id),
  })
}

function replaceSlink(config: GroupConfig, slink: SlinkConfig): GroupConfig {
  return { ...config, slinks: config.slinks.map((one) => (one.number === slink.number ? slink : one)) }
}
