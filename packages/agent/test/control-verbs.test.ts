/** The verbs of the agent's control socket, with bodies that no client of ours sends: a refusal, never the end of the daemon. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  EventLog,
  SitelinkError,
  type ConfigFile,
  type ControlServer,
  type ControlStream,
  type Log,
} from '@sitelink/daemon'
import type { AgentConfig } from '../src/config.js'
import { registerVerbs } from '../src/control/handlers.js'
import { World } from './support/world.js'

/** The streams of an agent that runs. */
async function streams(world: World): Promise<ReadonlyMap<string, ControlStream>> {
  await world.init()
  const agent = await world.start()
  const found = new Map<string, ControlStream>()
  const server = { verb: () => server, stream: (name: string, run: ControlStream) => found.set(name, run) }
  const { clock, disks } = world
  const events = new EventLog(clock, { write() {} } as unknown as Log)
  for (let index = 0; index < 3; index++) events.add('info', 'something', 'it happened')
  const config = { current: null } as unknown as ConfigFile<AgentConfig>
  registerVerbs(server as unknown as ControlServer, { agent, config, disks, clock, events, stateDir: '/state' })
  return found
}

async function refusal(world: World, run: ControlStream | undefined, body: unknown): Promise<string> {
  assert.ok(run !== undefined)
  try {
    const answer = run(body, { signal: new AbortController().signal }).next()
    let waits = true
    const settled = (): void => void (waits = false)
    answer.then(settled, settled)
    // The agent's time is simulated, the socket is real.
    while (waits) await world.clock.advance(10)
    await answer
  } catch (error) {
    assert.ok(SitelinkError.is(error), `a coded error: ${String(error)}`)
    return error.code
  }
  return 'answered'
}

test('events after a number that no event has are refused, and the daemon goes on', async () => {
  const world = new World({ seed: 'verbs' })
  const events = (await streams(world)).get('events')
  for (const afterSeq of [0.5, -1, 1e300]) {
    assert.equal(await refusal(world, events, { afterSeq, follow: false }), 'CONTROL_REQUEST_INVALID')
  }
  assert.equal(await refusal(world, events, { afterSeq: 1, follow: false }), 'answered')
})

test('an export on a socket that cannot be had is refused, and the daemon goes on', async () => {
  const world = new World({ seed: 'verbs' })
  const serve = (await streams(world)).get('export')
  const wish = { name: 'dev0', hold: false, force: true }
  for (const socket of ['relative', '', '/with\0nul', '/half\ud800']) {
    assert.equal(await refusal(world, serve, { ...wish, socket }), 'CONTROL_REQUEST_INVALID')
  }
  assert.equal(await refusal(world, serve, { ...wish, socket: `/${'long'.repeat(100)}` }), 'AGENT_NETWORK')
  assert.equal(await refusal(world, serve, { ...wish, socket: '/no/such/folder/at/all' }), 'AGENT_NETWORK')
})
