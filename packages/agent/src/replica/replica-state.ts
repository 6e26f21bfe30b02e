/**
 * What the agent must know durably and rarely changes: whose replica this is, and which devices belong to it.
 *
 * Pure: the shape of `replica.json`, and text to a state whose every field was looked at. Unknown keys are refused: a
 * file of a newer release must not lose them in an older one's hands.
 */
import { formatId64, type Lsn, type Random, type WireIncarnation } from '@sitelink/protocol'

export const REPLICA_VERSION = 1

/** A device of the primary and the device here that follows it. */
export interface ReplicaMapping {
  readonly deviceId: number
  readonly mappingId: string
  readonly number: number
  /** Name at the primary. */
  readonly name: string
  /** Name of the device here. */
  readonly remote: string
  /** Where that device was: another one under the same name has other bytes. */
  readonly path: string
  readonly sizeBytes: number
  readonly regionBytes: number
  /** LSN that the stream had passed when the mapping came: a cut below it takes the mapping back. */
  readonly sinceLsn: Lsn
}

/** The agent is starting over, at the primary's word or the operator's. Whatever interrupts it, it is begun again. */
export interface Restarting {
  readonly reason: string
  /** Log whose history comes next; null where that is not known yet. */
  readonly logId: string | null
}

export interface ReplicaState {
  /** Identity of this agent; never changes. */
  readonly agentId: string
  /** Identity of the journal as the primary knows it: new whenever a journal was lost here, kept when the primary asked. */
  readonly journalId: string
  /** Identity of the ring in the journal's file; null while none has been made. */
  readonly ringId: string | null
  /** Null until a primary has come. */
  readonly group: string | null
  readonly slink: number | null
  readonly epoch: number
  /** Log whose history the journal holds; null until the first resume. */
  readonly logId: string | null
  /** Lives of that log as the primary told them last, oldest first. */
  readonly incarnations: readonly WireIncarnation[]
  /** In the order in which they came. A device id stands here twice while an unmap of it is not applied yet. */
  readonly mappings: readonly ReplicaMapping[]
  readonly restarting: Restarting | null
  /** Why every region counts as dirty until the primary starts this agent over; null if it does not. */
  readonly allDirty: string | null
}

/** A fresh agent that no primary has found yet. */
export function freshReplica(random: Random): ReplicaState {
  return {
    agentId: randomId(random),
    journalId: randomId(random),
    ringId: null,
    group: null,
    slink: null,
    epoch: 0,
    logId: null,
    incarnations: [],
    mappings: [],
    restarting: null,
    allDirty: null,
  }
}

/** 16 random hex digits. */
export function randomId(random: Random): string {
  const bytes = random.bytes(8)
  return formatId64({ high: bytes.readUInt32LE(0), low: bytes.readUInt32LE(4) })
}

export type ParsedReplica =
  | { readonly kind: 'replica'; readonly state: ReplicaState }
  | { readonly kind: 'too-new'; readonly version: number }
  | { readonly kind: 'damaged'; readonly why: string }

type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string' && value.length > 0
/** JSON knows a zero below zero. */
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0)
const isId: Check = (value) => typeof value === 'string' && /^[0-9a-f]{16}$/.test(value)
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value)
const isRecord =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
    const keys = Object.keys(value)
    return (
      keys.length === Object.keys(fields).length &&
      keys.every((key) => Object.hasOwn(fields, key) && fields[key]?.((value as Record<string, unknown>)[key]) === true)
    )
  }
const isList =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check)

const incarnationFields: Readonly<Record<keyof WireIncarnation, Check>> = {
  number: isCount,
  id: isId,
  firstLsn: isCount,
}
const mappingFields: Readonly<Record<keyof ReplicaMapping, Check>> = {
  deviceId: isCount,
  mappingId: isText,
  number: isCount,
  name: isText,
  remote: isText,
  path: isText,
  sizeBytes: isCount,
  regionBytes: isCount,
  sinceLsn: isCount,
}
const restartingFields: Readonly<Record<keyof Restarting, Check>> = { reason: isText, logId: orNull(isId) }
const stateFields: Readonly<Record<keyof ReplicaState, Check>> = {
  agentId: isId,
  journalId: isId,
  ringId: orNull(isId),
  group: orNull(isText),
  slink: orNull(isCount),
  epoch: isCount,
  logId: orNull(isId),
  incarnations: isList(isRecord(incarnationFields)),
  mappings: isList(isRecord(mappingFields)),
  restarting: orNull(isRecord(restartingFields)),
  allDirty: orNull(isText),
}

/** Reads the text of a `replica.json`. */
export function parseReplica(text: string): ParsedReplica {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: 'damaged', why: 'it is not valid JSON' }
  }
  if (typeof value !== 'object' || value === null) return { kind: 'damaged', why: 'it is not an object' }
  const { version, ...state } = value as Record<string, unknown>
  if (!isCount(version) || version === 0) return { kind: 'damaged', why: 'version: it is not a whole number from 1' }
  if ((version as number) > REPLICA_VERSION) return { kind: 'too-new', version: version as number }
  for (const key of Object.keys(state)) {
    if (!Object.hasOwn(stateFields, key)) return { kind: 'damaged', why: `${key}: it is not a key of this file` }
  }
  for (const [key, check] of Object.entries(stateFields)) {
    if (!check(state[key])) return { kind: 'damaged', why: `${key}: it is missing or not what it should be` }
  }
  return { kind: 'replica', state: state as unknown as ReplicaState }
}
