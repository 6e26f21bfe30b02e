/**
 * The files of a state directory, as a stranger or a damaged disk may have left them: configurations of both programs,
 * the peers of the primary, the replica of the agent, and both owners' parts of a superblock.
 *
 * The input's first byte says which file, the rest is its content. Held to: a configuration is taken or refused with a
 * documented code whose message is one line; what is taken is written as text that reads back as the same; nothing is
 * taken that has a key which its shape does not name, or whose prototype is not its own.
 */
import assert from 'node:assert/strict'
import { parseReplica, decodeOwnerState as decodeAgentOwner } from '@sitelink/agent'
import { configFormat as agentConfig, encodeOwnerState as encodeAgentOwner, trustFormat } from '@sitelink/agent/testing'
import { identityFormat, makeCertificate, parseConfig, SitelinkError, type ConfigFormat } from '@sitelink/daemon'
import { decodeOwnerState as decodePrimaryOwner, encodeOwnerState as encodePrimaryOwner } from '@sitelink/primary'
import { configFormat as primaryConfig, peersFormat, pinsFormat } from '@sitelink/primary/testing'
import type { Prng } from '@sitelink/storage/testing'
import { hold, type Target } from '../engine/target.js'
import { mutateTree, toJson, treeOf } from '../engine/tree.js'

const CONFIG_CODES: ReadonlySet<string> = new Set([
  'CONFIG_SYNTAX',
  'CONFIG_INVALID',
  'CONFIG_TOO_NEW',
  'CONFIG_TOO_OLD',
])

/** Values that are taken are plain, and their keys are those of the sample. */
function checkKeys(value: unknown, known: ReadonlySet<string>): void {
  if (typeof value !== 'object' || value === null) return
  const proto: unknown = Object.getPrototypeOf(value)
  hold(proto === Object.prototype || proto === Array.prototype, 'what is taken is plain')
  for (const [key, one] of Object.entries(value)) {
    hold(Array.isArray(value) || known.has(key), `the key ${key} was taken`)
    checkKeys(one, known)
  }
}

function keysOf(sample: unknown, keys = new Set<string>()): Set<string> {
  if (typeof sample !== 'object' || sample === null) return keys
  for (const [key, one] of Object.entries(sample)) keysOf(one, keys.add(key))
  return keys
}

function feedConfig(format: ConfigFormat<object>, sample: object, text: string): string {
  let config: object
  try {
    config = parseConfig('config.json', format, text)
  } catch (error) {
    hold(SitelinkError.is(error), `it is refused with a coded error, not: ${(error as Error).stack}`)
    hold(CONFIG_CODES.has(error.code), `${error.code} is a code of a configuration`)
    hold(!error.message.includes('\n'), 'a refusal is one line')
    return `${error.code} ${String(error.facts['key'] ?? '')
      .replace(/\d+/g, '#')
      .slice(0, 40)}`
  }
  const known = keysOf(sample)
  // The peers and pins are named by their numbers.
  if (format === (peersFormat as ConfigFormat<object>) || format === (pinsFormat as ConfigFormat<object>))
    for (let slink = 0; slink < 2048; slink++) known.add(String(slink))
  checkKeys(config, known)
  const again = parseConfig('config.json', format, JSON.stringify({ version: format.version, ...config }))
  assert.deepEqual(again, config, 'what was taken reads back as it is')
  return 'taken'
}

function feedReplica(text: string): string {
  const parsed = parseReplica(text)
  if (parsed.kind === 'damaged') hold(parsed.why !== '', 'damage has a reason')
  if (parsed.kind !== 'replica') return parsed.kind
  checkKeys(parsed.state, keysOf(REPLICA))
  for (const key of Object.keys(REPLICA).slice(1)) hold(Object.hasOwn(parsed.state, key), `${key} is there`)
  const { restarting } = parsed.state
  if (restarting !== null)
    hold(typeof restarting.reason === 'string' && restarting.logId !== undefined, 'restarting is whole')
  for (const mapping of parsed.state.mappings)
    for (const key of Object.keys(REPLICA.mappings[0] as object))
      hold(Object.hasOwn(mapping, key), `a mapping has ${key}`)
  assert.deepEqual(parseReplica(JSON.stringify({ version: 1, ...parsed.state })), parsed)
  return 'replica'
}

function feedAgentOwner(bytes: Buffer): string {
  const state = decodeAgentOwner(bytes)
  if (state === null) return 'no owner state'
  assert.deepEqual(decodeAgentOwner(encodeAgentOwner(state)), state)
  return 'owner state'
}

function feedPrimaryOwner(bytes: Buffer): string {
  let state: ReturnType<typeof decodePrimaryOwner>
  try {
    state = decodePrimaryOwner(bytes)
  } catch (error) {
    hold(
      error instanceof Error && error.name === 'Error',
      `it is refused with a sentence, not: ${(error as Error).stack}`,
    )
    return error.message
  }
  if (state === null) return 'no owner state'
  for (const { lsn } of [...state.slinks.map(({ point }) => point), { lsn: state.appliedLsn }, { lsn: state.epoch }])
    hold(Number.isSafeInteger(lsn) && lsn >= 0, 'what is taken is a count')
  for (const { offset, length } of state.lost) hold(offset >= 0 && length >= 0, 'a lost range is a range')
  if (state.lost.length <= 256) assert.deepEqual(decodePrimaryOwner(encodePrimaryOwner(state)), state)
  return 'owner state'
}

const PRIMARY = {
  version: 3,
  uuid: '6ba7b810-9dad-41d1-80b4-00c04fd430c8',
  epoch: 1,
  log: { path: '/log', startBytes: 4096 },
  nextDeviceId: 3,
  devices: [
    { id: 1, number: 0, name: 'data', path: '/dev/a', sizeBytes: 2 ** 30 },
    { id: 2, number: 7, name: 'logs', path: '/dev/b', sizeBytes: 4096 },
  ],
  local: { mode: 'sync' },
  slinks: [
    {
      number: 1,
      name: 'there',
      addresses: ['tcp://there:7373'],
      mode: 'async',
      ack: 'durable',
      overflow: 'drop',
      holdMs: null,
      fallBehind: { ios: 10_000, bytes: 0, timeoutMs: 0, resumePercent: 80 },
      limit: { bytesPerSecond: 5000, windows: [{ fromMinute: 1320, toMinute: 360, bytesPerSecond: 0 }] },
      resyncBytesPerSecond: 0,
      resyncSharePercent: 50,
      inFlight: { ios: 0, bytes: 0 },
      compression: 'auto',
      detectMs: 3000,
      quic: 'require',
      paused: false,
      mappings: [
        {
          deviceId: 1,
          mappingId: 'a1b2c3d4e5f60718',
          remote: 'data',
          dirtyLog: { type: 'disk', path: null },
          regionBytes: 2 ** 20,
          initial: 'sync',
          since: [1, 5],
        },
      ],
    },
  ],
  nbd: { listen: null },
}
const AGENT = {
  version: 2,
  journal: { path: '/journal', sizeBytes: 2 ** 30 },
  listen: 'tcp://0.0.0.0:7373',
  quic: 'auto',
  devices: [{ name: 'data', path: '/dev/vg/data' }],
}
const PEERS = { version: 1, peers: { 1: { agent: '0123456789abcdef', journal: 'fedcba9876543210' } } }
const PINS = { version: 1, pins: { 1: { fingerprint: 'ab'.repeat(32), enrolledMs: 1_790_000_000_000 } } }
const RIGHTS = ['replicate', 'status', 'promote']
const TRUST = {
  version: 1,
  peers: [{ name: 'berlin', fingerprint: 'cd'.repeat(32), rights: RIGHTS, enrolledMs: 5, revokedMs: null }],
  invitations: [{ id: '0123456789abcdef', secret: 'ef'.repeat(16), name: 'paris', rights: [], expiresMs: 6 }],
}
const { key, certificate } = await makeCertificate()
const IDENTITY = { version: 1, key, certificates: [certificate] }
const REPLICA = {
  version: 1,
  agentId: '0123456789abcdef',
  journalId: '0123456789abcdee',
  ringId: '0123456789abcded',
  group: PRIMARY.uuid,
  slink: 1,
  epoch: 3,
  logId: '0123456789abcdec',
  incarnations: [{ number: 1, id: '0123456789abcdeb', firstLsn: 1 }],
  mappings: [
    {
      deviceId: 1,
      mappingId: 'a1b2c3d4e5f60718',
      number: 0,
      name: 'data',
      remote: 'data',
      path: '/dev/vg/data',
      sizeBytes: 4096,
      regionBytes: 2 ** 20,
      sinceLsn: 0,
    },
  ],
  restarting: { reason: 'the primary said so', logId: null },
  allDirty: 'why not',
}
const agentOwner = encodeAgentOwner({
  ringId: '0123456789abcdef',
  appliedPosition: 4096,
  applied: { incarnation: 1, lsn: 7 },
  appliedCrc: 12,
  told: { incarnation: 1, lsn: 9 },
  stamp: { incarnation: 1, lsn: 0 },
  voids: [{ below: 5000, stampAbove: 3 }],
})
const primaryOwner = encodePrimaryOwner({
  groupUuid: PRIMARY.uuid,
  epoch: 2,
  appliedLsn: 5,
  slinks: [1, 2].map((number) => ({
    number,
    behind: number === 1,
    dirty: false,
    wasProtected: true,
    answered: true,
    point: { incarnation: 1, lsn: 3 },
    position: 4096,
  })),
  lost: [{ deviceId: 1, offset: 4096, length: 512 }],
})

const FILES: readonly { readonly seed: Buffer; readonly json: boolean; readonly feed: (bytes: Buffer) => string }[] = [
  {
    seed: json(PRIMARY),
    json: true,
    feed: (bytes) => feedConfig(primaryConfig as ConfigFormat<object>, PRIMARY, bytes.toString()),
  },
  {
    seed: json(AGENT),
    json: true,
    feed: (bytes) => feedConfig(agentConfig as ConfigFormat<object>, AGENT, bytes.toString()),
  },
  {
    seed: json(PEERS),
    json: true,
    feed: (bytes) => feedConfig(peersFormat as ConfigFormat<object>, PEERS, bytes.toString()),
  },
  { seed: json(REPLICA), json: true, feed: (bytes) => feedReplica(bytes.toString()) },
  { seed: agentOwner, json: true, feed: feedAgentOwner },
  { seed: primaryOwner, json: false, feed: feedPrimaryOwner },
  {
    seed: json(PINS),
    json: true,
    feed: (bytes) => feedConfig(pinsFormat as ConfigFormat<object>, PINS, bytes.toString()),
  },
  {
    seed: json(TRUST),
    json: true,
    feed: (bytes) => feedConfig(trustFormat as ConfigFormat<object>, TRUST, bytes.toString()),
  },
  {
    seed: json(IDENTITY),
    json: true,
    feed: (bytes) => feedConfig(identityFormat as ConfigFormat<object>, IDENTITY, bytes.toString()),
  },
]

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value))
}

/** Mutates the value that a JSON text stands for. */
export function mutateJson(text: Buffer, prng: Prng): Buffer {
  try {
    return Buffer.from(toJson(mutateTree(treeOf(JSON.parse(text.toString())), prng)))
  } catch {
    return text
  }
}

export function stateFilesTarget(): Target {
  return {
    name: 'state-files',
    seeds: FILES.map(({ seed }, index) => Buffer.concat([Buffer.from([index]), seed])),
    iterations: 9000,
    bytesMax: 64 * 1024,
    tokens: ['null', '{}', '"__proto__":', '1e999', '[[[[', '\ufeff', '0.5', '-1', '4294967296'].map((word) =>
      Buffer.from(word),
    ),
    allocationBytesMax: (input) => 512 * 1024 + 8 * input.length,
    mutate: (input, prng) => Buffer.concat([input.subarray(0, 1), mutateJson(input.subarray(1), prng)]),
    feed: (input) => {
      const index = (input[0] ?? 0) % FILES.length
      return `${index}: ${(FILES[index] as (typeof FILES)[number]).feed(input.subarray(1))}`
    },
  }
}
