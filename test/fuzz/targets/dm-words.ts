/**
 * dm's tables and messages at a running group: words of a stranger, through the real verbs, over a real group.
 *
 * The input is text: `message TARGET WORDS...`, or a table. Held to: what is refused is a coded error that is no bug, and
 * has changed neither the configuration nor what runs; what is taken leaves a group that runs what is configured, and whose
 * printed table changes nothing.
 */
import { asSitelinkError, EventLog, type ControlHandler, type ControlServer, type Log } from '@sitelink/daemon'
import { NO_PINS, printTable, registerVerbs, type AgentLinks } from '@sitelink/primary/testing'
import type { Prng } from '@sitelink/storage/testing'
import { World } from '../../pair/world.js'
import { Finding, hold, type Target } from '../engine/target.js'

/** Inputs that one world answers before it is made anew. */
const INPUTS_PER_WORLD = 200

/** Nothing is enrolled in a simulated world. */
const NO_LINKS = { pins: NO_PINS } as unknown as AgentLinks

/** No resize of the log goes beyond it. */
const CAPACITY_BYTES = 32 * 1024 * 1024

interface Rig {
  readonly world: World
  readonly verbs: ReadonlyMap<string, ControlHandler>
  left: number
}

async function makeRig(number: number): Promise<Rig> {
  const world = new World({ seed: `dm ${number}`, primaryCapacityBytes: CAPACITY_BYTES })
  await world.start()
  await world.addSite()
  for (const at of [7, 8]) world.primary.disks.addDevice(`/dev/spare${at}`, 2 ** 21)
  const verbs = new Map<string, ControlHandler>()
  const server = {
    verb: (name: string, run: ControlHandler) => void verbs.set(name, run),
    stream: () => {},
    page: () => {},
  }
  const { group, admin } = world.primary
  const events = new EventLog(world.clock, { write() {} } as unknown as Log)
  registerVerbs(server as unknown as ControlServer, { group, admin, links: NO_LINKS, events })
  return { world, verbs, left: INPUTS_PER_WORLD }
}

/** What is configured, and what runs. */
function seen({ world }: Rig): string {
  const { group } = world.primary
  const running = [...group.slinks.values()].map((slink) => ({
    number: slink.number,
    config: slink.config,
    devices: [...slink.mappings].map((mapping) => mapping.deviceId),
  }))
  return JSON.stringify([group.config, running, [...group.exports.keys()], [...group.devices.keys()]])
}

/** Every part of the configuration runs, and nothing else does. */
function checkRuns({ world }: Rig): void {
  const { config, slinks, exports } = world.primary.group
  hold(slinks.size === config.slinks.length, 'as many slinks run as are configured')
  hold(exports.size === config.devices.length, 'as many devices are exported as are configured')
  for (const slink of config.slinks) {
    const running = slinks.get(slink.number)
    hold(JSON.stringify(running?.config) === JSON.stringify(slink), `slink ${slink.number} runs as it is configured`)
    hold(running?.mappings.size === slink.mappings.length, `slink ${slink.number} has the devices that are mapped`)
  }
}

async function ask(rig: Rig, verb: string, body: object): Promise<readonly string[]> {
  const answering = (async () =>
    rig.verbs.get(verb)?.({ ...body, directory: '/dev', insecurePlain: true }, {} as never))()
  const { done } = (await rig.world.run(answering)) as { readonly done: readonly string[] }
  return done
}

async function feed(rig: Rig, input: Buffer): Promise<string> {
  const text = input.toString()
  const [first, target = '', ...words] = text.split(' ')
  const isMessage = first === 'message'
  rig.left--
  const before = seen(rig)
  try {
    const done = await (isMessage ? ask(rig, 'message', { target, words }) : ask(rig, 'table-load', { text }))
    checkRuns(rig)
    const table = printTable(rig.world.primary.group.config).join('\n')
    hold((await ask(rig, 'table-load', { text: table })).length === 0, 'a printed table changes nothing')
    return `${isMessage ? 'message' : 'table'}: ${done.length === 0 ? 'nothing to do' : (done[0]?.split(' ')[0] ?? '')}`
  } catch (thrown) {
    if (thrown instanceof Finding) throw thrown
    const error = asSitelinkError(thrown)
    if (error.kind === 'internal') throw new Finding('words end with a bug', { cause: thrown })
    hold(!error.message.includes('\n') && error.message !== '', 'a refusal is one line')
    hold(seen(rig) === before, 'a refusal changes nothing')
    return `${error.code} ${String(error.facts['errno'] ?? '')}`
  }
}

const LOCAL = '0 1 replicator ringbuffer 2 /state/replog 0 blockdev 2 0 asynchronous'
const SEVEN = 's7: 0 4096 replicator-dev group 7 0 1 spare7 nolog 0'

const SEEDS = [
  `${LOCAL} agent 5 1 tcp://a:1 asynchronous ios 10000 agent 4 9 tcp://b:2 stall size=1m`,
  `${LOCAL} agent 2 1 tcp://a:1 agent 3 2 tcp://b:2 sync+stall\n${SEVEN} 1 1 seven disk 3 - 2048 nosync 2 1 x core 1 2048`,
  `${SEVEN} 1 1 seven core 2 2048 sync\n0 4096 replicator-dev group 8 0 1 spare8 - 0`,
  `0 4096 replicator-dev group 0 0 1 local0 nolog 0`,
  `dev0: 0 4096 replicator-dev group 0 0 1 local0 nolog 0 1 1 dev0 core 2 2048 nosync`,
  'message group slink add agent 5 3 tcp://c:3 async timeout 5m',
  'message group slink message 1 fallbehind size=64k resume=80',
  'message group slink message 1 policy synchronous+stall',
  'message group slink del 3',
  'message 0 device del 1',
  'message 0 device add group 0 1 1 dev0 disk 2 - 2048',
  'message group stop all',
  'message group start all',
  'message 1 suspend',
  'message 1 resume',
  'message group statistics on',
  'message group replog statistics reset',
  'message group replog resize 8192',
]

const WORDS = [...new Set(SEEDS.join(' ').split(/\s/))]

/** Another word, one less, one more, or a line of another seed. */
function mutate(input: Buffer, prng: Prng): Buffer {
  const words = input.toString().split(' ')
  const at = prng.below(words.length)
  const word = prng.pick(WORDS)
  switch (prng.below(5)) {
    case 0:
      words.splice(at, 1)
      break
    case 1:
      words.splice(at, 0, word)
      break
    case 2:
      words.push('\n', prng.pick(SEEDS.slice(0, 5)))
      break
    default:
      words[at] = word
  }
  return Buffer.from(words.join(' '))
}

export async function dmWordsTarget(): Promise<Target> {
  let number = 0
  let rig = await makeRig(number)
  return {
    name: 'dm-words',
    seeds: SEEDS.map((text) => Buffer.from(text)),
    iterations: 5000,
    bytesMax: 4096,
    tokens: WORDS.map((word) => Buffer.from(` ${word} `)),
    // A resize fills its new place with zeros, which the simulated disk keeps several times over.
    allocationBytesMax: () => 8 * CAPACITY_BYTES,
    mutate,
    feed: async (input) => {
      if (rig.left <= 0) rig = await makeRig(++number)
      return feed(rig, input)
    },
  }
}
