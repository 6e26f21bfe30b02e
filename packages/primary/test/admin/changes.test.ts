/**
 * The rules of a configuration: every change that is refused, every key that can be wrong, every body that is no wish.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SitelinkError } from '@sitelink/daemon'
import { ProtocolError } from '@sitelink/protocol'
import { Prng, seedFromEnv } from '@sitelink/storage/testing'
import {
  addDevice,
  addMapping,
  addSlink,
  changeSlink,
  checkName,
  deleteDevice,
  deleteMapping,
  deleteSlink,
  mappingMade,
  type NewMapping,
} from '../../src/admin/changes.js'
import { deviceWish, mapWish, slinkChange, slinkWish } from '../../src/admin/wishes.js'
import { checkConfig } from '../../src/config-check.js'
import type { GroupConfig } from '../../src/config.js'
import { DEVICE_COUNT_MAX, SLINK_COUNT_MAX } from '../../src/limits.js'

const MIB = 1024 * 1024
const empty: GroupConfig = {
  uuid: '01234567-89ab-cdef-0123-456789abcdef',
  epoch: 1,
  log: { path: '/log', startBytes: 0 },
  nextDeviceId: 1,
  local: { mode: 'async' },
  devices: [],
  slinks: [],
  nbd: { listen: null },
}
const wish: NewMapping = {
  device: 0,
  slink: 1,
  remote: 'data',
  dirtyLog: { type: 'disk', path: null },
  regionBytes: MIB,
  initial: 'sync',
  mappingId: '0123456789abcdef',
}

function full(): GroupConfig {
  let config = addDevice(empty, { number: 0, path: '/dev/a', name: 'data', sizeBytes: MIB })
  config = addDevice(config, { number: 1, path: '/dev/b', name: 'more', sizeBytes: MIB })
  config = addSlink(config, { number: 1, addresses: ['tcp://h:1'], mode: 'async' })
  return mappingMade(addMapping(config, wish), 1, 1, [1, 5])
}

test('[LIM-01] [DEV-05] [DEV-07] [DEV-08] [DEV-12] every change that does not fit is refused by its code, and changes nothing', () => {
  const config = full()
  const before = JSON.stringify(config)
  const many = {
    ...empty,
    devices: Array.from({ length: DEVICE_COUNT_MAX }, (_, number) => ({
      id: number + 1,
      number,
      name: `d${number}`,
      path: `/d/${number}`,
      sizeBytes: MIB,
    })),
  }
  const crowd = Array.from({ length: SLINK_COUNT_MAX }, (_, at) => at + 1).reduce(
    (so, number) => addSlink(so, { number, addresses: ['tcp://h:1'], mode: 'async' }),
    empty,
  )
  const refusals: readonly [string, () => unknown][] = [
    ['SLINK_COUNT', () => addSlink(crowd, { number: 2000, addresses: ['tcp://h:1'], mode: 'async' })],
    ['DEVICE_EXISTS', () => addDevice(config, { number: 0, path: '/x', name: 'x', sizeBytes: MIB })],
    ['DEVICE_NAME_TAKEN', () => addDevice(config, { number: 9, path: '/x', name: 'data', sizeBytes: MIB })],
    ['DEVICE_NAME_BAD', () => addDevice(config, { number: 9, path: '/x', name: 'a b', sizeBytes: MIB })],
    ['DEVICE_NAME_BAD', () => checkName('')],
    ['DEVICE_NAME_BAD', () => checkName('x'.repeat(129))],
    ['DEVICE_COUNT', () => addDevice(many, { number: 99_999, path: '/x', name: 'x', sizeBytes: MIB })],
    ['DEVICE_UNKNOWN', () => deleteDevice(config, 7, true)],
    ['DEVICE_MAPPED', () => deleteDevice(config, 0, false)],
    ['SLINK_LOCAL', () => addSlink(config, { number: 0, addresses: ['tcp://h:1'], mode: 'async' })],
    ['SLINK_EXISTS', () => addSlink(config, { number: 1, addresses: ['tcp://h:1'], mode: 'async' })],
    ['SLINK_POLICY', () => addSlink(config, { number: 2, addresses: [], mode: 'async' })],
    [
      'SLINK_POLICY',
      () =>
        addSlink(config, {
          number: 2,
          addresses: ['tcp://h:1'],
          mode: 'sync',
          fallBehind: { ios: 1, bytes: 0, timeoutMs: 0 },
        }),
    ],
    [
      'SLINK_POLICY',
      () =>
        changeSlink(changeSlink(config, 1, { fallBehind: { ios: 1, bytes: 0, timeoutMs: 0 } }), 1, { mode: 'sync' }),
    ],
    ['SLINK_UNKNOWN', () => changeSlink(config, 2, {})],
    ['SLINK_LOCAL_KEYS', () => changeSlink(config, 0, {})],
    ['SLINK_LOCAL_KEYS', () => changeSlink(config, 0, { mode: 'sync', paused: true })],
    ['SLINK_LOCAL', () => deleteSlink(config, 0, true)],
    ['SLINK_HAS_DEVICES', () => deleteSlink(config, 1, false)],
    ['MAP_EXISTS', () => addMapping(config, wish)],
    ['MAP_REMOTE_USED', () => addMapping(config, { ...wish, device: 1 })],
    ['DEVICE_UNKNOWN', () => addMapping(config, { ...wish, device: 5 })],
    ['SLINK_UNKNOWN', () => addMapping(config, { ...wish, slink: 5 })],
    ['SLINK_LOCAL', () => addMapping(config, { ...wish, slink: 0 })],
    ...[0, 1, MIB / 2, MIB + 1, 3 * MIB, 2048 * MIB].map((regionBytes): [string, () => unknown] => [
      'REGION_SIZE',
      () => addMapping(config, { ...wish, device: 1, remote: 'x', regionBytes }),
    ]),
    ['MAP_UNKNOWN', () => deleteMapping(config, 1, 1)],
  ]
  for (const [code, change] of refusals) assert.throws(change, { code }, code)
  assert.equal(JSON.stringify(config), before)
})

test('[DEV-21] [DEV-22] ids are never reused, and what is deleted takes its mappings along', () => {
  const config = full()
  assert.deepEqual(deleteDevice(config, 0, true).slinks[0]?.mappings, [])
  const again = addDevice(deleteDevice(config, 0, true), { number: 0, path: '/dev/a', name: 'data', sizeBytes: MIB })
  assert.equal(again.devices.at(-1)?.id, 3)
  assert.deepEqual(deleteMapping(config, 0, 1).slinks[0]?.mappings, [])
  assert.equal(deleteSlink(config, 1, true).slinks.length, 0)
  for (const made of [empty, config, again])
    assert.deepEqual(checkConfig(JSON.parse(JSON.stringify(made))), made, 'what the verbs make is valid')
})

/** Every place in a JSON value, as a path of keys. */
function placesOf(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [path]
  return [
    path,
    ...Object.entries(value).flatMap(([key, inner]) =>
      placesOf(inner, [...path, Array.isArray(value) ? Number(key) : key]),
    ),
  ]
}

function replaced(value: unknown, path: readonly (string | number)[], by: unknown): unknown {
  if (path.length === 0) return by
  const [key, ...rest] = path as [string | number, ...(string | number)[]]
  const copy = structuredClone(value) as Record<string | number, unknown>
  if (by === undefined && rest.length === 0 && !Array.isArray(copy)) delete copy[key]
  else copy[key] = replaced(copy[key], rest, by)
  return copy
}

test('a stored configuration with any one key wrong is refused, and the key is named', () => {
  const config = full()
  const wrongs: unknown[] = [undefined, -1, 1.5, {}, 'é ', true, [[]], Number.MAX_VALUE]
  const nameOf = (path: readonly (string | number)[]): string =>
    path.map((key, at) => (typeof key === 'number' ? `[${key}]` : at === 0 ? key : `.${key}`)).join('')
  // Free text and flags take some of these.
  const takes = (path: readonly (string | number)[], wrong: unknown): boolean => {
    const last = path.findLast((key) => typeof key === 'string') ?? ''
    if (wrong === 'é ') return ['path', 'addresses', 'listen', 'remote'].includes(String(last))
    return wrong === true && last === 'paused'
  }
  let tried = 0
  for (const path of placesOf(config)) {
    for (const wrong of wrongs) {
      if (takes(path, wrong) || (path.length === 0 && wrong === undefined)) continue
      const broken = replaced(config, path, wrong)
      assert.throws(
        () => checkConfig(broken),
        (error: unknown) => SitelinkError.is(error) && error.code === 'CONFIG_KEY_INVALID',
        `${nameOf(path)} = ${JSON.stringify(wrong)}`,
      )
      tried += 1
    }
    const parent = path.slice(0, -1)
    if (typeof path.at(-1) === 'string') {
      assert.throws(() => checkConfig(replaced(config, [...parent, 'surplus'], 1)), /surplus/)
      const name = nameOf(path)
      if (name !== 'nextDeviceId' && name !== 'devices')
        assert.throws(
          () => checkConfig(replaced(config, path, undefined)),
          (error: Error) => error.message.includes(name.split('.')[0] as string),
        )
    }
  }
  assert.ok(tried > 150)
})

test('a configuration that contradicts itself is refused', () => {
  const config = full()
  const [device] = config.devices
  const [slink] = config.slinks
  assert.ok(device !== undefined && slink !== undefined)
  const [mapping] = slink.mappings
  assert.ok(mapping !== undefined)
  const broken: GroupConfig[] = [
    { ...config, devices: [...config.devices, device] },
    { ...config, devices: [...config.devices, { ...device, id: 2, number: 9, name: 'x' }] },
    { ...config, nextDeviceId: 2 },
    { ...config, devices: [] },
    { ...config, slinks: [slink, slink] },
    { ...config, slinks: [{ ...slink, addresses: [] }] },
    { ...config, slinks: [{ ...slink, mappings: [mapping, mapping] }] },
    { ...config, slinks: [{ ...slink, mode: 'sync', fallBehind: { ios: 1, bytes: 0, timeoutMs: 0 } }] },
    { ...config, slinks: [{ ...slink, fallBehind: { ios: 0, bytes: 0, timeoutMs: 0, resumePercent: 80 } }] },
    { ...config, slinks: [{ ...slink, fallBehind: { ios: 1, bytes: 0, timeoutMs: 0, resumePercent: 101 } }] },
    { ...config, slinks: [{ ...slink, fallBehind: { ios: 1, bytes: 0, timeoutMs: 0, resumePercent: 0 } }] },
    { ...config, slinks: [{ ...slink, mappings: [{ ...mapping, regionBytes: 3 * MIB }] }] },
    { ...config, slinks: [{ ...slink, mappings: [{ ...mapping, since: [1] as never }] }] },
    { ...config, log: { path: '/log', startBytes: 512 } },
  ]
  for (const one of broken) assert.throws(() => checkConfig(one), { code: 'CONFIG_KEY_INVALID' }, JSON.stringify(one))
})

test('whatever comes over the control socket is a wish that changes cleanly, or a refusal with a code, and never a bug', () => {
  const seed = seedFromEnv('wishes')
  const prng = new Prng(seed)
  const scraps: readonly (() => unknown)[] = [
    () => null,
    () => undefined,
    () => true,
    () => prng.between(-3, 5),
    () => 2 ** 60,
    () => 0.5,
    () => '',
    () => '/x',
    () => 'tcp://h:1',
    () => 'tcp://',
    () => 'data',
    () => 'x'.repeat(5000),
    () => [],
    () => ['tcp://h:1'],
    () => ['tcp://h:1', 7],
    () => ({}),
    () => ({ ios: prng.between(-1, 2) }),
    () => 'sync',
    () => 'auto',
    () => ({ bytesPerSecond: 4096, windows: [{ fromMinute: 9, toMinute: prng.below(12), bytesPerSecond: 0 }] }),
    () => ({ ios: 3, bytes: prng.between(-1, 9) }),
    () => prng.between(0, 700),
    () => 'drop',
    () => 'durable',
    () => MIB,
    () => 'core',
    () => NaN,
    () => '\0',
  ]
  const keys = [
    'number',
    'path',
    'name',
    'slink',
    'device',
    'addresses',
    'mode',
    'ack',
    'overflow',
    'holdMs',
    'fallBehind',
    'resyncBytesPerSecond',
    'limit',
    'inFlight',
    'resyncSharePercent',
    'detectMs',
    'compression',
    'paused',
    'remote',
    'dirtyLog',
    'dirtyLogPath',
    'regionBytes',
    'initial',
    'mappings',
    '__proto__',
    'constructor',
  ]
  const doors: readonly ((body: unknown) => GroupConfig)[] = [
    (body) => addDevice(full(), { ...deviceWish(body), sizeBytes: MIB }),
    (body) => addSlink(full(), slinkWish(body)),
    (body) => changeSlink(full(), 1, slinkChange(body)),
    (body) => addMapping(full(), mapWish(body, '0123456789abcdef')),
  ]
  const valid = [
    { number: 5, path: '/x', name: 'x' },
    { slink: 5, addresses: ['tcp://h:1'], mode: 'async' },
    { mode: 'async', fallBehind: { ios: 5 }, paused: false },
    { device: 1, slink: 1, remote: 'x', dirtyLog: 'core', regionBytes: MIB, initial: 'sync' },
  ]
  let [taken, refusedCount] = [0, 0]
  for (let run = 0; run < 8000; run += 1) {
    const which = prng.below(doors.length)
    const body: Record<string, unknown> = { ...(prng.chance(0.7) ? valid[which] : {}) }
    for (let count = prng.below(3); count > 0; count -= 1) {
      Object.defineProperty(body, prng.pick(keys), {
        value: prng.pick(scraps)(),
        enumerable: true,
        configurable: true,
        writable: true,
      })
    }
    const given: unknown = prng.chance(0.03) ? prng.pick(scraps)() : body
    try {
      const next = (doors[which] as (body: unknown) => GroupConfig)(given)
      assert.deepEqual(checkConfig(JSON.parse(JSON.stringify(next))), next, `SEED=${seed} run ${run}`)
      taken += 1
    } catch (error) {
      if (!SitelinkError.is(error) && !(error instanceof ProtocolError))
        throw new Error(`SEED=${seed} run ${run}: ${JSON.stringify(given)}`, { cause: error })
      if (SitelinkError.is(error))
        assert.notEqual(
          error.code,
          'CONFIG_KEY_INVALID',
          `SEED=${seed} run ${run}: ${JSON.stringify(given)} passes the door and makes a configuration that no start accepts`,
        )
      refusedCount += 1
    }
  }
  assert.ok(taken > 500 && refusedCount > 500)
})
