/** Tables that are loaded while a site is being written to: what it has is a prefix of the order at any moment. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventLog, type ControlHandler, type ControlServer, type Log } from '@sitelink/daemon'
import { NO_PINS, printTable, registerVerbs, type AgentLinks } from '@sitelink/primary/testing'
import type { SparseBytes } from '@sitelink/storage/testing'
import { World } from './world.js'

/** Site 1 dies: its devices with its journal laid over are the history up to where that ends. It comes back. */
async function checkPrefix(world: World): Promise<void> {
  const { agent, primary } = world
  agent.crash()
  const names = new Map([
    [1, 'dev0'],
    [2, 'dev1'],
  ])
  const replay = await world.run(agent.replayed(names))
  assert.ok(replay !== null && !replay.hole)
  const wanted = primary.history.contentAt(replay.end.lsn)
  for (const [deviceId, image] of replay.images)
    assert.equal(image.firstDifference(wanted.get(deviceId) as SparseBytes), -1, `at LSN ${replay.end.lsn}`)
  await world.startAgent(agent)
}

/** Nothing is enrolled in a simulated world. */
const NO_LINKS = { pins: NO_PINS } as unknown as AgentLinks

test('[LIFE-09] tables that take a copy away and bring it back while writes go on keep the order of all devices', async () => {
  const world = new World({ seed: 'reload', agents: 2 })
  await world.start()
  for (const agent of world.agents) await world.addSite({ agent })
  const verbs = new Map<string, ControlHandler>()
  const server = {
    verb: (name: string, run: ControlHandler) => void verbs.set(name, run),
    stream: () => {},
    page: () => {},
  }
  const { group, admin } = world.primary
  const events = new EventLog(world.clock, { write() {} } as unknown as Log)
  registerVerbs(server as unknown as ControlServer, { group, admin, links: NO_LINKS, events })
  const load = (text: string): Promise<unknown> =>
    Promise.resolve(verbs.get('table-load')?.({ text, directory: '/' }, {} as never))

  const [control = '', first = '', second = ''] = printTable(group.config)
  const without = first.replace(/ 2 1 dev0 disk 3 - 2048 nosync/, '')
  assert.notEqual(without, first)
  const again = first.replace(/(2 1 dev0 disk 3 - 2048) nosync/, '$1 sync')
  const tables = [without, `${control}\n${again}\n${second}`, [second, without].join('\n'), again]
  let at = 0
  for (const text of tables) {
    let loaded = false
    const loading = load(text).finally(() => (loaded = true))
    for (let round = 0; round < 40 || !loaded; round++) {
      world.primary.write({ device: at % 2, offset: (at % 256) * 4096, bytes: Buffer.alloc(4096, (at % 255) + 1) })
      at += 1
      await world.advance(3)
      if (round % 16 === 15) await checkPrefix(world)
    }
    await loading
  }
  for (const slink of [1, 2]) await world.settle(slink)
  await world.checkLocal()
})
