/** A change of a running group of many steps: all of it or nothing, whatever refuses it and whenever the power goes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Step } from '../../src/admin/steps.js'
import { groupStatus } from '../../src/group/status.js'
import { bytes, GroupWorld, MIB, type WorldOptions } from './group-world.js'

const ID = (number: number): string => number.toString(16).padStart(16, '0')
const addresses = ['tcp://nowhere:1']

function mapStep(device: number, slink: number, changes: object = {}): Step {
  const wish = {
    device,
    slink,
    remote: `r${device}`,
    dirtyLog: { type: 'disk', path: null } as const,
    regionBytes: MIB,
    initial: 'nosync' as const,
    mappingId: ID(device * 100 + slink),
  }
  return { kind: 'map', wish: { ...wish, ...changes } }
}

const addThree: readonly Step[] = [
  { kind: 'add-slink', wish: { number: 2, addresses, mode: 'sync', overflow: 'drop' } },
  { kind: 'add-device', wish: { number: 9, path: '/dev/9', name: 'nine', sizeBytes: MIB } },
  mapStep(9, 2),
]

/** Slink 1 with device 0 is there; a table would then unmap it, change it, and add all of `addThree`. */
const many: readonly Step[] = [
  { kind: 'unmap', device: 0, slink: 1 },
  { kind: 'change-slink', slink: 1, change: { overflow: 'stall' } },
  ...addThree,
  mapStep(1, 1, { dirtyLog: { type: 'core' } }),
]

async function worldOf(options: WorldOptions = {}): Promise<GroupWorld> {
  const world = await GroupWorld.running(options)
  world.disks.addDevice('/dev/9', MIB)
  await world.clock.runUntil(world.admin.addSlink({ number: 1, addresses, mode: 'async' }))
  await world.clock.runUntil(world.admin.apply([mapStep(0, 1)]))
  return world
}

/** What can be seen of a group: its configuration, and what runs. */
function seen(world: GroupWorld): unknown {
  const { devices, slinks } = groupStatus(world.group)
  return {
    config: world.config.current,
    devices: devices.map(({ number, available }) => ({ number, available })),
    slinks: slinks.map(({ number, overflow, devices: mapped }) => ({ number, overflow, mapped })),
    exports: [...world.group.exports.values()].map(({ name }) => name).sort(),
    dirtyLogs: world.disks.paths().filter((path) => path.startsWith('/dirty/')),
  }
}

function fault(world: GroupWorld, on: 'open' | 'create', path: string): void {
  world.disks.injectProviderFault({ on, path, code: 'DISK_FULL' })
}

test('a change of many steps leaves nothing behind when its last step, a device, a dirty log or the store fails', async () => {
  const failures: readonly [string, readonly Step[], (world: GroupWorld) => void][] = [
    ['MAP_REMOTE_USED', [...many, mapStep(9, 1, { remote: 'r1' })], () => {}],
    ['DEVICE_UNAVAILABLE', many, (world) => fault(world, 'open', '/dev/9')],
    ['DISK_FULL', many, (world) => fault(world, 'create', `/dirty/slink-2-${ID(902)}`)],
    ['STORE', many, (world) => (world.config.failure = Object.assign(new Error('full'), { code: 'STORE' }))],
  ]
  for (const [code, steps, spoil] of failures) {
    const world = await worldOf()
    const before = JSON.stringify(seen(world))
    spoil(world)
    await assert.rejects(world.clock.runUntil(world.admin.apply(steps)), { code }, code)
    assert.equal(JSON.stringify(seen(world)), before, `after ${code} everything is as it was`)
    await world.ok(world.write(0, 0, bytes(4096, 1)), world.flush())
    await world.restart()
    assert.equal(JSON.stringify(seen(world)), before, 'and after a restart as well')
    world.disks.clearFaults()
    await world.clock.runUntil(world.admin.apply(many))
    assert.equal(world.config.current.slinks.length, 2, 'and the same change is taken once nothing is in its way')
  }
})

test('a power cut at any moment of a change of many steps leaves all of it or nothing', async () => {
  const reference = await worldOf()
  const before = JSON.stringify(reference.config.current.slinks.map(({ number }) => number))
  const whole = new Set<string>()
  for (let ms = 0; ms < 40; ms += 2) {
    const world = await worldOf({ seed: ms, latency: { writeMs: [1, 2], syncMs: [2, 4] } })
    const change = world.admin.apply(many).catch(() => {})
    await world.clock.advance(ms)
    world.powerCut({ kind: 'random' })
    void change
    await world.open()
    const { slinks, devices } = world.config.current
    const numbers = JSON.stringify(slinks.map(({ number }) => number))
    const all = slinks.length === 2
    whole.add(all ? 'all' : 'nothing')
    if (!all) assert.equal(numbers, before)
    assert.equal(devices.length, all ? 3 : 2)
    assert.equal(slinks[0]?.overflow, all ? 'stall' : 'drop')
    assert.deepEqual(
      slinks[0]?.mappings.map(({ deviceId }) => deviceId),
      all ? [2] : [1],
    )
    assert.equal(world.group.slinks.size, slinks.length, 'what is configured runs')
    assert.equal(world.group.exports.size, devices.length)
  }
  assert.deepEqual([...whole].sort(), ['all', 'nothing'], 'both were met')
})

test('[DEV-23] a device cannot be used before the whole change that brings it is stored', async () => {
  const world = await worldOf()
  const { config } = world
  const update = config.update.bind(config)
  let exportsThen: string[] = []
  config.update = async (change) => {
    exportsThen = [...world.group.exports.values()].map(({ name }) => name)
    await update(change)
  }
  await world.clock.runUntil(world.admin.apply(addThree))
  assert.deepEqual(exportsThen.sort(), ['d0', 'd1'])
  assert.deepEqual([...world.group.exports.values()].map(({ name }) => name).sort(), ['d0', 'd1', 'nine'])
  await world.ok(world.write(9, 0, bytes(4096, 1)))
})
