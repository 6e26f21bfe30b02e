/** The management layer in our own form: names, roles and rules of sites, defaults, and what is in use. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SitelinkError } from '@sitelink/daemon'
import { regionBytesProblem } from '@sitelink/storage'
import { addDevice, addMapping, addSlink, changeSlink, deleteDevice, deleteSlink } from '../../src/admin/changes.js'
import { checkConfig, migrateConfig } from '../../src/config-check.js'
import { groupStatus } from '../../src/group/status.js'
import { BLOCKDEV_SLINKS_MAX, REGION_BYTES_DEFAULT } from '../../src/limits.js'
import { asRefused } from '../dm/dm-world.js'
import { GroupWorld, MIB } from '../group/group-world.js'

const AGENT = ['tcp://nowhere:1']
const mapping = {
  remote: 'r',
  dirtyLog: { type: 'core' },
  regionBytes: MIB,
  initial: 'sync',
  mappingId: '0'.repeat(16),
} as const

async function code(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'taken',
    (error: unknown) => asRefused(error).code,
  )
}

test('[MGT-01] sites have names, each its own, and only the local one is active', async () => {
  const world = await GroupWorld.running()
  const { admin, clock } = world
  await clock.runUntil(admin.addSlink({ number: 1, name: 'paris', addresses: AGENT, mode: 'async' }))
  await clock.runUntil(admin.addSlink({ number: 2, addresses: AGENT, mode: 'async' }))
  assert.equal(await clock.runUntil(code(admin.changeSlink(2, { name: 'paris' }))), 'SLINK_NAME_TAKEN')
  await clock.runUntil(admin.changeSlink(2, { name: 'oslo' }))
  const { local, slinks } = groupStatus(world.group)
  assert.deepEqual([local.name, local.role], ['local', 'active'])
  assert.deepEqual(
    slinks.map(({ name, role }) => [name, role]),
    [
      ['paris', 'passive'],
      ['oslo', 'passive'],
    ],
  )
})

test('[MGT-02] each rule of the management layer that has a meaning here has its error', async () => {
  const { config: store } = await GroupWorld.make()
  const config = addMapping(addSlink(store.current, { number: 1, name: 'paris', addresses: AGENT, mode: 'async' }), {
    ...mapping,
    device: 0,
    slink: 1,
  })
  const limits = { ios: 1, bytes: 0, timeoutMs: 0 }
  const rules: readonly (readonly [rule: string, code: string, break_: () => unknown])[] = [
    ['a sync site with a limit', 'SLINK_POLICY', () => changeSlink(config, 1, { mode: 'sync', fallBehind: limits })],
    [
      'two sites of one name',
      'SLINK_NAME_TAKEN',
      () => addSlink(config, { number: 2, name: 'paris', addresses: AGENT, mode: 'async' }),
    ],
    ['the name of the local site', 'SLINK_NAME_TAKEN', () => changeSlink(config, 1, { name: 'local' })],
    ['a name that is none', 'DEVICE_NAME_BAD', () => changeSlink(config, 1, { name: 'new york' })],
    ['two sites of one index', 'SLINK_EXISTS', () => addSlink(config, { number: 1, addresses: AGENT, mode: 'async' })],
    [
      'a remote site in the place of the local one',
      'SLINK_LOCAL',
      () => addSlink(config, { number: 0, addresses: AGENT, mode: 'async' }),
    ],
    [
      'two devices of one name',
      'DEVICE_NAME_TAKEN',
      () => addDevice(config, { number: 9, name: 'd0', path: '/x', sizeBytes: MIB }),
    ],
    [
      'two devices of one index',
      'DEVICE_EXISTS',
      () => addDevice(config, { number: 0, name: 'x', path: '/x', sizeBytes: MIB }),
    ],
    [
      'two devices on one remote volume',
      'MAP_REMOTE_USED',
      () => addMapping(config, { ...mapping, device: 1, slink: 1 }),
    ],
    ['a device that is mapped is removed', 'DEVICE_MAPPED', () => deleteDevice(config, 0, false)],
    ['a site that has devices is removed', 'SLINK_HAS_DEVICES', () => deleteSlink(config, 1, false)],
  ]
  for (const [rule, wanted, break_] of rules) assert.throws(break_, { code: wanted }, rule)
})

test('[MGT-04] a site, a device and a copy without options fit the limits of the engine', async () => {
  const { config } = await GroupWorld.make()
  const [slink] = addSlink(config.current, { number: 1, addresses: AGENT, mode: 'async' }).slinks
  assert.equal(slink?.overflow, 'drop')
  assert.deepEqual(slink.fallBehind, { ios: 0, bytes: 0, timeoutMs: 0 })
  assert.equal(addSlink(config.current, { number: 1, addresses: AGENT, mode: 'sync' }).slinks[0]?.overflow, 'stall')
  assert.equal(
    regionBytesProblem(REGION_BYTES_DEFAULT, MIB),
    null,
    'the smallest device that has a region takes the default',
  )
  checkConfig(JSON.parse(JSON.stringify(addSlink(config.current, { number: 1, addresses: AGENT, mode: 'async' }))))
})

test('[MGT-06] a group that runs exports all its devices, as one unit', async () => {
  const world = await GroupWorld.running()
  assert.deepEqual([...world.group.exports.values()].map(({ name }) => name).sort(), ['d0', 'd1'])
  world.group.suspend()
  const writes = [0, 1].map((device) => world.write(device, 0, Buffer.alloc(4096)))
  await world.clock.advance(1000)
  assert.deepEqual(
    writes.map(({ answered }) => answered),
    [false, false],
  )
  world.group.resume()
  await world.ok(...writes)
})

test('[MGT-07] a volume in use is neither removed nor shared, within the group and beyond it', async () => {
  const world = await GroupWorld.running()
  const { admin, clock, disks } = world
  for (const path of ['/dev/0', '/log'])
    await assert.rejects(disks.open(path, { exclusive: true }), /another process holds it/)
  const look = async (path: string): Promise<string> =>
    code(admin.map({ ...mapping, device: 0, slink: 1, remote: path, dirtyLog: { type: 'disk', path: '/bitmap' } }))
  await clock.runUntil(admin.addSlink({ number: 1, addresses: ['blockdev:'], mode: 'async' }))
  await clock.runUntil(admin.addSlink({ number: 2, addresses: ['blockdev:'], mode: 'async' }))
  for (const path of ['/dev/1', '/log', '/bitmap'])
    assert.equal(await clock.runUntil(look(path)), 'DEVICE_PATH_USED', path)
  disks.addDevice('/target', 2 * MIB)
  assert.equal(await clock.runUntil(look('/target')), 'taken')
  const other = admin.map({ ...mapping, device: 1, slink: 2, remote: '/target', mappingId: '1'.repeat(16) })
  assert.equal(await clock.runUntil(code(other)), 'DEVICE_PATH_USED')
  const shared = {
    ...mapping,
    device: 1,
    slink: 2,
    remote: '/free',
    dirtyLog: { type: 'disk', path: '/bitmap' },
  } as const
  assert.equal(await clock.runUntil(code(admin.map(shared))), 'DEVICE_PATH_USED', 'a dirty log is not shared')
  const local = world.group.devices.get(world.idOf(0))
  local?.clients.add('somebody')
  assert.equal(await clock.runUntil(code(admin.deleteDevice(0, true))), 'DEVICE_BUSY')
})

test('a group has as many blockdev slinks as there are threads for, and a slink keeps its type', async () => {
  let { current } = (await GroupWorld.make()).config
  for (let number = 1; number <= BLOCKDEV_SLINKS_MAX; number++)
    current = addSlink(current, { number, addresses: ['blockdev:'], mode: 'async' })
  const last = BLOCKDEV_SLINKS_MAX + 1
  assert.throws(() => addSlink(current, { number: last, addresses: ['blockdev:'], mode: 'async' }), {
    code: 'SLINK_BLOCKDEV_COUNT',
  })
  current = addSlink(current, { number: last, addresses: AGENT, mode: 'async' })
  assert.throws(() => changeSlink(current, last, { addresses: ['blockdev:'] }), { code: 'SLINK_POLICY' })
  assert.throws(() => changeSlink(current, 1, { addresses: AGENT }), { code: 'SLINK_POLICY' })
  assert.throws(() => addMapping(current, { ...mapping, device: 0, slink: 1 }), { code: 'MAP_PATH' })
})

test('a configuration of version 1 is taken over: an asynchronous local site, and slinks without names', async () => {
  const { current } = (await GroupWorld.make()).config
  const { local, ...old } = JSON.parse(
    JSON.stringify(addSlink(current, { number: 1, addresses: AGENT, mode: 'async' })),
  )
  assert.deepEqual(local, { mode: 'async' })
  for (const slink of old.slinks) delete slink.name
  assert.throws(
    () => checkConfig(old),
    (error) => SitelinkError.is(error),
  )
  const taken = checkConfig(migrateConfig(old))
  assert.equal(taken.local.mode, 'async')
  assert.equal(taken.slinks[0]?.name, null)
})
