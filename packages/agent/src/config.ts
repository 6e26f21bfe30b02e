/**
 * The configuration of an agent: where its journal is, where it listens, which devices it offers.
 *
 * Owns the shape of `config.json` and its rules, nothing else; the daemon room reads and writes the file. What a primary
 * decides (group, epoch, mappings) is not configuration and stands in replica.json.
 */
import { keyInvalid, type ConfigFormat } from '@sitelink/daemon/light'
import { QUIC_MODES, schemeOf, type QuicMode } from '@sitelink/protocol/light'
import type { DeviceConfig } from './device/device-set.js'
import { DEVICE_COUNT_MAX, DEVICE_NAME_BYTES_MAX, JOURNAL_BYTES_MIN } from './limits.js'

export interface AgentConfig {
  readonly journal: {
    /** File or block device. */
    readonly path: string
    /** Bytes of a journal that has to be made anew. */
    readonly sizeBytes: number
  }
  /** Address that `run` listens on unless it is told another; null: it has to be told. */
  readonly listen: string | null
  /** Whether HTTP/3 is taken where that is an `https://` address; `run` may be told another. */
  readonly quic: QuicMode
  readonly devices: readonly DeviceConfig[]
}

/**
 * Version of the file:
 *
 *   1  the first
 *   2  `quic`
 */
export const configFormat: ConfigFormat<AgentConfig> = {
  name: 'config.json',
  version: 2,
  versionMin: 1,
  validate: checkConfig,
  migrate: (value) => ({ quic: 'auto', ...value }),
}

/** Why `name` cannot name a device, as words; null if it can. */
export function deviceNameProblem(name: string): string | null {
  if (name === '') return 'it is empty'
  if (Buffer.byteLength(name) > DEVICE_NAME_BYTES_MAX) return `it has more than ${DEVICE_NAME_BYTES_MAX} bytes`
  return /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) ? null : 'it has characters that a name cannot have'
}

function checkConfig(value: unknown): AgentConfig {
  const { journal, listen, quic, devices } = recordOf(value, ['journal', 'listen', 'quic', 'devices'], '')
  const { path, sizeBytes } = recordOf(journal, ['path', 'sizeBytes'], 'journal')
  if (typeof path !== 'string' || path === '') throw keyInvalid('journal.path', 'is not a path')
  if (!Number.isSafeInteger(sizeBytes) || (sizeBytes as number) < JOURNAL_BYTES_MIN) {
    throw keyInvalid('journal.sizeBytes', `is not a number of bytes from ${JOURNAL_BYTES_MIN}`)
  }
  if (listen !== null && (typeof listen !== 'string' || !isAddress(listen)))
    throw keyInvalid('listen', 'is neither null nor an address')
  if (!QUIC_MODES.includes(quic as QuicMode)) throw keyInvalid('quic', `is not one of ${QUIC_MODES.join(', ')}`)
  if (!Array.isArray(devices)) throw keyInvalid('devices', 'is not a list')
  if (devices.length > DEVICE_COUNT_MAX) throw keyInvalid('devices', `has more than ${DEVICE_COUNT_MAX} entries`)
  const names = new Set<string>()
  const checked = devices.map((device: unknown, at): DeviceConfig => {
    const key = `devices[${at}]`
    const { name, path: devicePath } = recordOf(device, ['name', 'path'], key)
    if (typeof name !== 'string') throw keyInvalid(`${key}.name`, 'is not a name')
    const problem = deviceNameProblem(name)
    if (problem !== null) throw keyInvalid(`${key}.name`, problem)
    if (names.has(name)) throw keyInvalid(`${key}.name`, `stands twice: ${name}`)
    names.add(name)
    if (typeof devicePath !== 'string' || devicePath === '') throw keyInvalid(`${key}.path`, 'is not a path')
    return { name, path: devicePath }
  })
  return { journal: { path, sizeBytes: sizeBytes as number }, listen, quic: quic as QuicMode, devices: checked }
}

function recordOf<K extends string>(value: unknown, keys: readonly K[], at: string): Record<K, unknown> {
  const prefix = at === '' ? '' : `${at}.`
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw keyInvalid(at, 'is not an object')
  for (const key of Object.keys(value)) {
    if (!(keys as readonly string[]).includes(key)) throw keyInvalid(`${prefix}${key}`, 'is not a key of this file')
  }
  for (const key of keys) if (!Object.hasOwn(value, key)) throw keyInvalid(`${prefix}${key}`, 'is missing')
  return value as Record<K, unknown>
}

function isAddress(word: string): boolean {
  try {
    schemeOf(word)
    return true
  } catch {
    return false
  }
}
