/**
 * The validator of a stored or imported configuration: everything is checked, the first wrong key is named.
 *
 * Owns what a configuration may be as a whole, references between its parts included. It changes nothing and fills in
 * nothing: a file that lacks a key is wrong.
 */
import { keyInvalid } from '@sitelink/daemon/light'
import { BLOCKDEV_ADDRESS, isBlockdev } from './blockdev/address.js'
import type { DeviceConfig, DirtyLogConfig, GroupConfig, MappingConfig, SlinkConfig } from './config.js'
import { fallBehindProblem, withResume, type FallBehind } from './slink/fall-behind.js'
import { LINK_TERMS_DEFAULT, LINK_TERMS_KEYS, readTerms } from './slink/link-terms.js'
import {
  DEVICE_NUMBER_MAX,
  FALL_BEHIND_RESUME_PERCENT_MAX,
  NAME_BYTES_MAX,
  REGION_BYTES_MAX,
  REGION_BYTES_MIN,
  SLINK_NUMBER_MAX,
} from './limits.js'

type Json = Readonly<Record<string, unknown>>

function object(value: unknown, key: string, keys: readonly string[]): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw keyInvalid(key, 'it should be an object')
  for (const name of Object.keys(value))
    if (!keys.includes(name)) throw keyInvalid(key === '' ? name : `${key}.${name}`, 'it is unknown')
  for (const name of keys) if (!(name in value)) throw keyInvalid(key === '' ? name : `${key}.${name}`, 'it is missing')
  return value as Json
}

function integer(value: unknown, key: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || Object.is(value, -0) || value < min || value > max) {
    throw keyInvalid(key, `it should be an integer from ${min} to ${max}`)
  }
  return value
}

function text(value: unknown, key: string, pattern = /^[^\0]{1,4096}$/): string {
  if (typeof value !== 'string' || !pattern.test(value))
    throw keyInvalid(key, `it should be a string that matches ${pattern.source}`)
  return value
}

function oneOf<T extends string>(value: unknown, key: string, words: readonly T[]): T {
  if (!words.includes(value as T)) throw keyInvalid(key, `it should be one of ${words.join(', ')}`)
  return value as T
}

function list<T>(value: unknown, key: string, each: (item: unknown, key: string) => T): T[] {
  if (!Array.isArray(value)) throw keyInvalid(key, 'it should be a list')
  return value.map((item, index) => each(item, `${key}[${index}]`))
}

function unique<T>(items: readonly T[], key: string, what: string, of: (item: T) => unknown): void {
  const seen = new Set<unknown>()
  for (const item of items) {
    if (seen.has(of(item))) throw keyInvalid(key, `${what} ${String(of(item))} is there twice`)
    seen.add(of(item))
  }
}

/** The configuration in `value`, or a `CONFIG_KEY_INVALID` that names the key. */
export function checkConfig(value: unknown): GroupConfig {
  const config = object(value, '', ['uuid', 'epoch', 'log', 'nextDeviceId', 'devices', 'local', 'slinks', 'nbd'])
  const log = object(config['log'], 'log', ['path', 'startBytes'])
  const local = object(config['local'], 'local', ['mode'])
  const nbd = object(config['nbd'], 'nbd', ['listen'])
  const nextDeviceId = integer(config['nextDeviceId'], 'nextDeviceId', 1, 0xffff_ffff)
  const devices = list(config['devices'], 'devices', (item, key) => device(item, key, nextDeviceId))
  unique(devices, 'devices', 'number', (one) => one.number)
  unique(devices, 'devices', 'id', (one) => one.id)
  unique(devices, 'devices', 'name', (one) => one.name)
  const slinks = list(config['slinks'], 'slinks', (item, key) => slink(item, key, devices))
  unique(slinks, 'slinks', 'number', (one) => one.number)
  unique(
    slinks.filter((one) => one.name !== null),
    'slinks',
    'name',
    (one) => one.name,
  )
  const startBytes = integer(log['startBytes'], 'log.startBytes', 0)
  if (startBytes % 4096 !== 0) throw keyInvalid('log.startBytes', 'it should be a multiple of 4096')
  return {
    uuid: text(config['uuid'], 'uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
    epoch: integer(config['epoch'], 'epoch', 1),
    log: { path: text(log['path'], 'log.path'), startBytes },
    nextDeviceId,
    devices,
    local: { mode: oneOf(local['mode'], 'local.mode', ['sync', 'async']) },
    slinks,
    nbd: { listen: nbd['listen'] === null ? null : text(nbd['listen'], 'nbd.listen') },
  }
}

const NAME = new RegExp(`^[A-Za-z0-9._-]{1,${NAME_BYTES_MAX}}$`)

function device(value: unknown, key: string, nextDeviceId: number): DeviceConfig {
  const { id, number, name, path, sizeBytes } = object(value, key, ['id', 'number', 'name', 'path', 'sizeBytes'])
  return {
    id: integer(id, `${key}.id`, 1, nextDeviceId - 1),
    number: integer(number, `${key}.number`, 0, DEVICE_NUMBER_MAX),
    name: text(name, `${key}.name`, NAME),
    path: text(path, `${key}.path`),
    sizeBytes: integer(sizeBytes, `${key}.sizeBytes`, 512),
  }
}

const SLINK_KEYS = [
  'number',
  'name',
  'addresses',
  'mode',
  'ack',
  'overflow',
  'holdMs',
  'fallBehind',
  ...LINK_TERMS_KEYS,
  'paused',
  'mappings',
]

function slink(value: unknown, key: string, devices: readonly DeviceConfig[]): SlinkConfig {
  const from = object(value, key, SLINK_KEYS)
  const mode = oneOf(from['mode'], `${key}.mode`, ['sync', 'async'])
  const fallBehind = fallBehindOf(from['fallBehind'], `${key}.fallBehind`)
  const problem = fallBehindProblem(fallBehind, mode)
  if (problem !== null) throw keyInvalid(`${key}.fallBehind`, problem)
  if (typeof from['paused'] !== 'boolean') throw keyInvalid(`${key}.paused`, 'it should be true or false')
  const mappings = list(from['mappings'], `${key}.mappings`, (item, at) => mapping(item, at, devices))
  unique(mappings, `${key}.mappings`, 'device', (one) => one.deviceId)
  unique(mappings, `${key}.mappings`, 'remote', (one) => one.remote)
  const addresses = list(from['addresses'], `${key}.addresses`, (item, at) => text(item, at))
  if (addresses.length === 0) throw keyInvalid(`${key}.addresses`, 'it should have at least one address')
  if (isBlockdev({ addresses }) && addresses.length > 1)
    throw keyInvalid(`${key}.addresses`, `${BLOCKDEV_ADDRESS} should stand alone`)
  return {
    number: integer(from['number'], `${key}.number`, 1, SLINK_NUMBER_MAX),
    name: from['name'] === null ? null : text(from['name'], `${key}.name`, NAME),
    addresses,
    mode,
    ack: oneOf(from['ack'], `${key}.ack`, ['received', 'durable']),
    overflow: oneOf(from['overflow'], `${key}.overflow`, ['drop', 'stall', 'fail']),
    holdMs: from['holdMs'] === null ? null : integer(from['holdMs'], `${key}.holdMs`, 0),
    fallBehind,
    ...LINK_TERMS_DEFAULT,
    ...readTerms(from, (name, why) => {
      throw keyInvalid(`${key}.${name}`, `it ${why}`)
    }),
    paused: from['paused'],
    mappings,
  }
}

/** The share to resume at is there only where it was set: other configurations are as they were before there was one. */
function fallBehindOf(value: unknown, key: string): FallBehind {
  const shared = Object.hasOwn(Object(value) as object, 'resumePercent')
  const from = object(value, key, ['ios', 'bytes', 'timeoutMs', ...(shared ? ['resumePercent'] : [])])
  const limits = {
    ios: integer(from['ios'], `${key}.ios`, 0),
    bytes: integer(from['bytes'], `${key}.bytes`, 0),
    timeoutMs: integer(from['timeoutMs'], `${key}.timeoutMs`, 0),
  }
  const max = FALL_BEHIND_RESUME_PERCENT_MAX
  return shared ? withResume(limits, integer(from['resumePercent'], `${key}.resumePercent`, 1, max)) : limits
}

const MAPPING_KEYS = ['deviceId', 'mappingId', 'remote', 'dirtyLog', 'regionBytes', 'initial', 'since']

function mapping(value: unknown, key: string, devices: readonly DeviceConfig[]): MappingConfig {
  const from = object(value, key, MAPPING_KEYS)
  const deviceId = integer(from['deviceId'], `${key}.deviceId`, 1)
  if (!devices.some((one) => one.id === deviceId)) throw keyInvalid(`${key}.deviceId`, 'there is no such device')
  const regionBytes = integer(from['regionBytes'], `${key}.regionBytes`, REGION_BYTES_MIN, REGION_BYTES_MAX)
  if (!Number.isInteger(Math.log2(regionBytes))) throw keyInvalid(`${key}.regionBytes`, 'it should be a power of two')
  return {
    deviceId,
    mappingId: text(from['mappingId'], `${key}.mappingId`, /^[0-9a-f]{16}$/),
    remote: text(from['remote'], `${key}.remote`),
    dirtyLog: dirtyLog(from['dirtyLog'], `${key}.dirtyLog`),
    regionBytes,
    initial: oneOf(from['initial'], `${key}.initial`, ['sync', 'nosync']),
    since: from['since'] === null ? null : point(from['since'], `${key}.since`),
  }
}

function dirtyLog(value: unknown, key: string): DirtyLogConfig {
  const type = oneOf((value as Json | null)?.['type'], `${key}.type`, ['core', 'disk'])
  if (type === 'core') {
    object(value, key, ['type'])
    return { type }
  }
  const { path } = object(value, key, ['type', 'path'])
  return { type, path: path === null ? null : text(path, `${key}.path`) }
}

function point(value: unknown, key: string): [number, number] {
  const parts = list(value, key, (item, at) => integer(item, at, 0))
  if (parts.length !== 2) throw keyInvalid(key, 'it should be [incarnation, lsn]')
  return [parts[0] as number, parts[1] as number]
}

/** The content of an older version as one of the present version: what slinks did not have yet is as it was by default. */
export function migrateConfig(value: Readonly<Record<string, unknown>>): unknown {
  const slinks = Array.isArray(value['slinks']) ? value['slinks'] : []
  const filled = slinks.map((one: unknown) =>
    typeof one === 'object' && one !== null ? { ...LINK_TERMS_DEFAULT, name: null, ...one } : one,
  )
  return { local: { mode: 'async' }, ...value, slinks: filled }
}
