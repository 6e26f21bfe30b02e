/** `status --dm`: its counters, its letters, and that nothing of it is cut off. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addDevice, addMapping, addSlink, mappingMade } from '../../src/admin/changes.js'
import type { GroupConfig } from '../../src/config.js'
import { printTable } from '../../src/dm/table.js'
import { planTable } from '../../src/dm/plan.js'
import { DEVICE_COUNT_MAX, SLINK_COUNT_MAX } from '../../src/limits.js'
import { bytes, MIB } from '../group/group-world.js'
import { AGENT, DmWorld, LOCAL, read } from './dm-world.js'

/** `name=value` of the group's line behind `from`. */
async function counters(dm: DmWorld, behind: RegExp): Promise<Record<string, number>> {
  const [line = ''] = await dm.status()
  const text = line.slice(line.search(behind))
  return Object.fromEntries(
    [...text.matchAll(/(?<= )([\w>-]+)=(\d+)/g)].map(([, name, value]) => [name, Number(value)]),
  )
}

const core = (dm: DmWorld): Promise<Record<string, number>> => counters(dm, / v=/)
const ring = (dm: DmWorld): Promise<Record<string, number>> => counters(dm, / ring->start=/)

test('[STA-03] [BP-03] requests are counted as they were made: taken, done, and those that had to wait', async () => {
  const dm = await DmWorld.running()
  const { world } = dm
  await dm.message('group', 'statistics', 'on')
  const wanted = { r: 0, w: 0, rs: 0, ws: 0, nc: 0, c: 0 }
  const holds = async (what: string): Promise<void> => {
    const { r, w, rs, ws, nc, c } = await core(dm)
    assert.deepEqual({ r, w, rs, ws, nc, c }, wanted, what)
  }
  await holds('at first')
  await world.ok(world.write(0, 0, bytes(4096, 1)), world.trim(1, 0, 4096), world.zeroes(0, 8192, 4096), world.flush())
  Object.assign(wanted, { w: 3, ws: 3, nc: 3 })
  await holds('three changes; a flush is none')
  await world.read(0, 0, 512)
  await world.read(1, 0, 512)
  Object.assign(wanted, { r: 2, rs: 2 })
  await holds('two reads')
  await dm.message('group', 'stop')
  const held = [world.write(0, 0, bytes(512, 2)), world.write(1, 0, bytes(512, 2))]
  Object.assign(wanted, { w: 5, c: 2 })
  await holds('two that wait for the group are not in the log')
  await dm.message('group', 'start')
  await world.ok(...held)
  Object.assign(wanted, { ws: 5 })
  await holds('and then are')
  await dm.message('0', 'stop')
  const device = world.write(0, 0, bytes(512, 3))
  await dm.message('0', 'start')
  await world.ok(device)
  Object.assign(wanted, { w: 6, ws: 6, c: 3 })
  await holds('one that waited for its device')
})

test('[STA-04] [STA-05] [MSG-08] counters of the core and of the log are shown, hidden and reset by themselves', async () => {
  const dm = await DmWorld.running()
  const { world } = dm
  const first = (await dm.status())[0] ?? ''
  assert.doesNotMatch(first, /=/)
  await world.ok(world.write(0, 0, bytes(4096, 1)))
  await world.read(0, 0, 4096)
  await dm.message('group', 'statistics', 'on')
  assert.equal((await core(dm))['w'], 1, 'they count also while they are hidden')
  assert.equal((await ring(dm))['ring->start'], undefined)
  await dm.message('group', 'replog', 'stat', 'ON')
  await dm.message('group', 'statistics', 'off')
  const shown = await ring(dm)
  assert.equal((await dm.status())[0]?.includes(' v='), false)
  assert.equal(shown['r'], 1)
  assert.equal(shown['w'], 1)
  assert.equal(shown['wp'], 1, 'the read met bytes that were not on the device')
  assert.ok((shown['he_max'] ?? 0) >= 1)
  assert.equal(shown['ring->end'], (2 * MIB) / 512)
  assert.ok((shown['ring->tail'] ?? 0) > (shown['ring->start'] ?? 0))
  await world.applied()
  await dm.message('group', 'replog', 'statistics', 'reset')
  const { r, w, wp, he } = await ring(dm)
  assert.deepEqual({ r, w, wp, he }, { r: 0, w: 0, wp: 0, he: 0 })
  await world.read(0, 0, 4096)
  const after = await ring(dm)
  assert.deepEqual([after['r'], after['wp']], [1, 0], 'applied by now')
  await dm.message('group', 'replog', 'statistics', 'off')
  assert.equal((await dm.status())[0]?.includes('ring'), false)
  assert.equal((await dm.refused(() => dm.message('group', 'statistics', 'bogus'))).errno, 'EINVAL')
})

test('[STA-01] [STA-02] each site shows its entries, sectors and age, and the line their sums and the size of the log', async () => {
  const dm = await DmWorld.running()
  await dm.load(
    `${LOCAL} agent 2 3 ${AGENT}\n0 4096 replicator-dev group 0 0 1 /dev/0 nolog 0 3 1 r core 2 2048 nosync`,
  )
  await dm.world.ok(dm.world.write(0, 0, bytes(4096, 1)), dm.world.write(0, 4096, bytes(100, 1)))
  await dm.world.applied()
  await dm.world.clock.advance(5000 - (dm.world.clock.nowMs() % 1000))
  const [line = ''] = await dm.status()
  const [, ms] = /^group: 0 1 replicator 0:A,0,0s,0ms 3:A,2,9s,(\d+)ms 2\/9s\/4096s$/.exec(line) ?? []
  assert.ok(Number(ms) >= 3000, line)
})

test('[STA-07] [STA-08] a device that cannot be opened shows its path, and letters are of one device at one site', async () => {
  const dm = await DmWorld.running()
  await dm.load(`${LOCAL} agent 2 1 ${AGENT}\n0 4096 replicator-dev group 0 0 1 /dev/0 nolog 0 1 1 r core 2 2048 sync`)
  const { table } = dm
  dm.world.disks.injectProviderFault({ on: 'open', path: '/dev/0', code: 'DISK_MISSING' })
  await dm.restart()
  const [, first, second] = await dm.status()
  assert.equal(first, 'd0: 0 4096 replicator-dev group 0 0:RW,-,/dev/0 1:W,0/2')
  assert.equal(second, 'd1: 0 2048 replicator-dev group 1 0:A,-')
  assert.equal(dm.table, table, 'and the table is as it was')
})

test('[STA-09] nothing is cut off: the most slinks and devices there can be print, and read back as they are', async () => {
  let config: GroupConfig = {
    uuid: '01234567-89ab-cdef-0123-456789abcdef',
    epoch: 1,
    log: { path: `/${'long/'.repeat(100)}log`, startBytes: 0 },
    nextDeviceId: 1,
    local: { mode: 'async' },
    devices: [],
    slinks: [],
    nbd: { listen: null },
  }
  for (let number = 0; number < DEVICE_COUNT_MAX; number++)
    config = addDevice(config, { number, path: `/dev/${'x'.repeat(100)}${number}`, name: `d${number}`, sizeBytes: MIB })
  for (let number = 1; number <= SLINK_COUNT_MAX; number++)
    config = addSlink(config, { number, addresses: [`tcp://host${number}:7373`], mode: 'async' })
  for (let number = 1; number <= SLINK_COUNT_MAX; number++) {
    const mappingId = number.toString(16).padStart(16, '0')
    const wish = { device: 5, slink: number, remote: 'r', regionBytes: MIB, initial: 'sync', mappingId } as const
    config = mappingMade(addMapping(config, { ...wish, dirtyLog: { type: 'core' } }), number, 6, [1, 1])
  }
  const lines = printTable(config)
  assert.equal(lines.length, 1 + DEVICE_COUNT_MAX)
  assert.ok((lines[0] ?? '').length > 30_000 && (lines[6] ?? '').length > 20_000)
  const facts = { sizeOf: () => MIB, mappingId: () => '0'.repeat(16) }
  assert.deepEqual(planTable(read(lines.join('\n')), config, facts), [])
})
