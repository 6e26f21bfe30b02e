/**
 * The shapes of all control messages and of the stream's msgpack payloads, as data.
 *
 * Owns what each field may hold; the types stand in messages.ts, and the compiler refuses a shape that has other fields
 * than its type. A test pins a hash of this table to the wire version. Rules between fields of one message stand in
 * {@link ruleProblem}: only what a correct peer can never say, whatever happened to its disks.
 */
import {
  CODECS_MAX,
  DETECT_MS_MAX,
  DEVICES_MAX,
  DIRTY_BITS_BYTES_MAX,
  DIRTY_MAPS_MAX,
  HEARTBEAT_MS_MAX,
  HEARTBEAT_MS_MIN,
  INCARNATIONS_MAX,
  NAME_BYTES_MAX,
  PROBLEM_BYTES_MAX,
  PROSE_BYTES_MAX,
  REGION_BYTES_MAX,
  REGION_BYTES_MIN,
  SLINK_MAX,
  VERIFY_BYTES_MAX,
  VERIFY_DIGEST_BYTES,
} from '../limits.js'
import { DEVICE_ID_MAX } from '../entry/limits.js'
import type { Field } from './fields.js'
import {
  refuseCodes,
  type ControlMessage,
  type MapPayload,
  type ResyncBeginPayload,
  type UnmapPayload,
  type WireDevice,
  type WireIncarnation,
  type WireMapping,
  type WireReplica,
} from './messages.js'

/** Fields of `T`: exactly its keys, whatever they hold. */
type FieldsOf<T> = { readonly [K in keyof T]-?: Field }

const uint = (min: number, max: number): Field => ({ is: 'uint', min, max })
const record = <T>(of: FieldsOf<T>): Field => ({ is: 'record', of: of as Readonly<Record<string, Field>> })

const count = uint(0, Number.MAX_SAFE_INTEGER)
const incarnation = uint(0, 0xffff_ffff)
const name: Field = { is: 'text', min: 1, max: NAME_BYTES_MAX }
const prose: Field = { is: 'prose', max: PROSE_BYTES_MAX }
const id64: Field = { is: 'id64' }
const identity: Field = { is: 'identity' }
const flag: Field = { is: 'flag' }
const crc = uint(0, 0xffff_ffff)
const version = uint(1, 0xffff)
const epoch = count
const deviceId = uint(1, DEVICE_ID_MAX)
const deviceNumber = uint(0, 0xffff_ffff)
const regionBytes: Field = { is: 'power', min: REGION_BYTES_MIN, max: REGION_BYTES_MAX }
const heartbeatMs = uint(HEARTBEAT_MS_MIN, HEARTBEAT_MS_MAX)
const detectMs = uint(2 * HEARTBEAT_MS_MIN, DETECT_MS_MAX)
const point: Field = { is: 'tuple', of: [incarnation, count] }
const mark: Field = { is: 'tuple', of: [incarnation, count, count] }
const regions = { firstRegion: count, regionCount: uint(1, 8 * DIRTY_BITS_BYTES_MAX) } as const
const bits: Field = { is: 'bytes', min: 1, max: DIRTY_BITS_BYTES_MAX }

const mapFields: Omit<FieldsOf<WireMapping>, 'deviceId'> = {
  mappingId: identity,
  number: deviceNumber,
  name,
  remote: name,
  sizeBytes: count,
  regionBytes,
}
const replica = record<WireReplica>({
  logId: id64,
  incarnationId: id64,
  end: point,
  endCrc: crc,
  durable: point,
  applied: point,
  primaryDurable: point,
  stamp: point,
})

/** The shape of every control message, without its `kind`. */
export const messageShapes: {
  readonly [K in ControlMessage['kind']]: FieldsOf<Omit<Extract<ControlMessage, { kind: K }>, 'kind'>>
} = {
  hello: {
    wireVersion: version,
    wireFloor: version,
    group: identity,
    epoch,
    slink: uint(1, SLINK_MAX),
    session: identity,
    logId: id64,
    incarnations: {
      is: 'list',
      max: INCARNATIONS_MAX,
      of: record<WireIncarnation>({
        number: uint(1, 0xffff_ffff),
        id: id64,
        firstLsn: uint(1, Number.MAX_SAFE_INTEGER),
      }),
    },
    head: point,
    durable: point,
    heartbeatMs,
    detectMs,
    mappings: { is: 'list', max: DEVICES_MAX, of: record<WireMapping>({ deviceId, ...mapFields }) },
  },
  welcome: {
    wireVersion: version,
    agent: identity,
    journal: identity,
    epoch,
    replica: { is: 'nullable', of: replica },
    devices: {
      is: 'list',
      max: DEVICES_MAX,
      of: record<WireDevice>({
        name,
        sizeBytes: count,
        problem: { is: 'nullable', of: { is: 'prose', max: PROBLEM_BYTES_MAX } },
      }),
    },
    mappings: {
      is: 'list',
      max: DEVICES_MAX,
      of: record<Pick<WireMapping, 'deviceId' | 'mappingId' | 'remote'>>({
        deviceId,
        mappingId: identity,
        remote: name,
      }),
    },
    dirtyMaps: uint(0, DIRTY_MAPS_MAX),
    allDirty: flag,
  },
  'dirty-map': { deviceId, mappingId: identity, regionBytes, ...regions, bits },
  resume: { common: point, restart: { is: 'nullable', of: prose }, heartbeatMs, detectMs },
  ready: { end: point, creditBytes: count },
  refuse: { code: { is: 'word', of: refuseCodes }, message: prose },
  ack: {
    received: mark,
    durable: mark,
    applied: mark,
    dirtyRegions: count,
    consistent: flag,
    journalUsedBytes: count,
    journalBytes: count,
  },
  codecs: { codecs: { is: 'list', max: CODECS_MAX, of: uint(1, 255) } },
  credit: { bytes: count },
  durable: { point },
  sync: {},
  heartbeat: { sentUs: count, echoUs: count, heldUs: count },
  verify: { id: count, deviceId, offset: count, length: uint(1, VERIFY_BYTES_MAX) },
  verified: {
    id: count,
    digest: { is: 'nullable', of: { is: 'bytes', min: VERIFY_DIGEST_BYTES, max: VERIFY_DIGEST_BYTES } },
    problem: { is: 'nullable', of: prose },
  },
  error: { code: { is: 'text', min: 1, max: 64 }, message: prose, fatal: flag },
  bye: { reason: prose },
}

/** The shapes of the payloads of `map` and `resync-begin` frames. */
export const payloadShapes = {
  map: { ...mapFields, clean: flag } satisfies FieldsOf<MapPayload>,
  unmap: { mappingId: identity } satisfies FieldsOf<UnmapPayload>,
  resyncBegin: { mappingId: identity, regionBytes, ...regions, bits } satisfies FieldsOf<ResyncBeginPayload>,
} as const

/** Why a message whose fields are all good can still not be meant; null if it can. */
export function ruleProblem(message: ControlMessage): string | null {
  switch (message.kind) {
    case 'hello':
      return helloProblem(message)
    case 'resume':
      if (message.restart !== null && (message.common[0] !== 0 || message.common[1] !== 0)) {
        return 'resume.common is not [0, 0] although the agent is to start over'
      }
      return timesProblem(message)
    case 'dirty-map':
      return bitsProblem(message, 'dirty-map')
    case 'ack':
      if (compareTuples(message.applied, message.durable) > 0) return 'ack.applied lies above ack.durable'
      if (compareTuples(message.durable, message.received) > 0) return 'ack.durable lies above ack.received'
      return message.journalUsedBytes > message.journalBytes ? 'ack.journalUsedBytes is larger than the journal' : null
    case 'verified':
      return (message.digest === null) === (message.problem === null)
        ? 'verified says both a digest and a problem, or neither'
        : null
    default:
      return null
  }
}

function helloProblem(hello: Extract<ControlMessage, { kind: 'hello' }>): string | null {
  if (hello.wireFloor > hello.wireVersion) return 'hello.wireFloor is above hello.wireVersion'
  let before: WireIncarnation | null = null
  for (const one of hello.incarnations) {
    if (before !== null && (one.number <= before.number || one.firstLsn < before.firstLsn)) {
      return 'hello.incarnations are not in order'
    }
    before = one
  }
  if (before === null) return 'hello.incarnations is empty'
  if (hello.head[0] !== before.number) return 'hello.head is not in the current incarnation'
  if (hello.head[1] < before.firstLsn - 1) return 'hello.head lies before the current incarnation'
  if (compareTuples(hello.durable, hello.head) > 0) return 'hello.durable lies above hello.head'
  const ids = new Set(hello.mappings.map((mapping) => mapping.deviceId))
  if (ids.size !== hello.mappings.length) return 'hello.mappings names a device id twice'
  return timesProblem(hello)
}

function timesProblem(message: {
  readonly kind: string
  readonly heartbeatMs: number
  readonly detectMs: number
}): string | null {
  return message.detectMs >= 2 * message.heartbeatMs ? null : `${message.kind}.detectMs is less than two heartbeats`
}

/** Why `bits` do not belong to `regionCount`: another length, or bits set beyond the last region. */
export function bitsProblem(
  part: { readonly regionCount: number; readonly bits: Buffer },
  path: string,
): string | null {
  if (part.bits.length !== Math.ceil(part.regionCount / 8)) return `${path}.bits does not fit to ${path}.regionCount`
  const used = part.regionCount % 8
  const last = part.bits[part.bits.length - 1] as number
  return used !== 0 && last >> used !== 0 ? `${path}.bits has bits beyond the last region` : null
}

function compareTuples(a: readonly number[], b: readonly number[]): number {
  // Without an iterator: it runs for every acknowledgement, three numbers at a time.
  for (let index = 0; index < a.length; index++) {
    const difference = (a[index] as number) - (b[index] as number)
    if (difference !== 0) return difference
  }
  return 0
}
