/** The page of `status --json` and the keys that a group really reports are the same, key by key. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { EventLog, type Log } from '@sitelink/daemon'
import { processStatus } from '../../src/control/handlers.js'
import { groupStatus } from '../../src/group/status.js'
import { bytes, GroupWorld, MIB } from './group-world.js'

const page = new URL('../../../../../docs/reference/status.md', import.meta.url)

/** Lists are looked at by their first item; facts of an event are free. */
function keysOf(value: unknown, path: string): string[] {
  const free = path === 'events[].facts'
  if (Array.isArray(value)) return value.length > 0 && typeof value[0] === 'object' ? keysOf(value[0], `${path}[]`) : []
  if (typeof value !== 'object' || value === null || free) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const at = path === '' ? key : `${path}.${key}`
    return [at, ...keysOf(inner, at)]
  })
}

test('[STA-01] [STA-02] [STA-11] the page of status --json names every key that is reported, and no other', async () => {
  const world = await GroupWorld.running({ devices: [2 * MIB], latency: { writeMs: [1, 1] } })
  const { admin } = world
  const limit = { bytesPerSecond: 0, windows: [{ fromMinute: 0, toMinute: 1, bytesPerSecond: 4096 }] }
  await world.clock.runUntil(admin.addSlink({ number: 1, addresses: ['tcp://h:1'], mode: 'async', limit }))
  await world.clock.runUntil(
    admin.map({
      device: 0,
      slink: 1,
      remote: 'r',
      dirtyLog: { type: 'core' },
      regionBytes: MIB,
      initial: 'sync',
      mappingId: '0123456789abcdef',
    }),
  )
  await world.ok(world.write(0, 0, bytes(512, 1)), world.flush())
  const events = new EventLog(world.clock, { write() {} } as unknown as Log)
  events.add('info', 'kind', 'message', {})
  // While it goes on, a resize has keys of its own.
  const { ended } = await world.clock.runUntil(admin.resizeLog({ sizeBytes: 3 * MIB, sparse: false, overwrite: false }))
  const report: unknown = JSON.parse(
    JSON.stringify({ ...groupStatus(world.group), process: processStatus(), events: events.read(0).events }),
  )
  await world.clock.runUntil(ended)
  const documented = [...readFileSync(page, 'utf8').matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1] as string)
  assert.equal(new Set(documented).size, documented.length, 'each key once')
  const sections = ['group', 'log', 'local', 'devices', 'slinks', 'process', 'events']
  const parents = [
    ...sections,
    'slinks[].fallBehind',
    'slinks[].limit',
    'slinks[].compression',
    'slinks[].inFlightLimit',
  ]
  const given = keysOf(report, '').filter((key) => !parents.includes(key))
  assert.deepEqual(
    given.filter((key) => !documented.includes(key)),
    [],
    'reported and not on the page',
  )
  assert.deepEqual(
    documented.filter((key) => !given.includes(key)),
    [],
    'on the page and not reported',
  )
  assert.deepEqual(Object.keys(report as object).sort(), [...sections].sort())
})
