/**
 * The control messages of a session: everything that peers say to each other besides frames of the stream.
 *
 * Owns their shapes; the codec validates what arrives against them, at the door. A message travels as a `control` frame
 * whose payload is a msgpack map with a `kind`. Points are `[incarnation, lsn]`; ids of 64 bits are 16 hex digits.
 *
 *   primary                          agent
 *     hello ------------------------->      who I am, my log, my history, the devices of this slink
 *     <------------- welcome | refuse       who I am, how far I am, my devices
 *     <------------------- dirty-map *      one or more for each mapping with dirty regions
 *     resume ------------------------>      where we agree; what lies beyond is void
 *     <--------------- codecs, ready        which compressions it reads; it is cut durably; credit
 *     frames, durable, sync --------->
 *     <----------------- ack, credit        heartbeats both ways, error and bye at any time
 *     verify ------------------------>      what reads a range as, behind the frames so far?
 *     <--------------------- verified
 */
import type { Lsn } from '../entry/lsn.js'

/** `[incarnation, lsn]` */
export type WirePoint = readonly [incarnation: number, lsn: Lsn]

/** A life of the primary's log. */
export interface WireIncarnation {
  readonly number: number
  readonly id: string
  readonly firstLsn: Lsn
}

/** A device of this slink as the primary wants it. */
export interface WireMapping {
  readonly deviceId: number
  /** New at every `device map`: tells an old dirty map from a new one. */
  readonly mappingId: string
  readonly number: number
  readonly name: string
  /** Name of the device at the agent. */
  readonly remote: string
  readonly sizeBytes: number
  readonly regionBytes: number
}

export interface Hello {
  readonly kind: 'hello'
  readonly wireVersion: number
  readonly wireFloor: number
  readonly group: string
  readonly epoch: number
  readonly slink: number
  readonly session: string
  readonly logId: string
  /** Oldest first, the current one last. */
  readonly incarnations: readonly WireIncarnation[]
  readonly head: WirePoint
  readonly durable: WirePoint
  readonly heartbeatMs: number
  readonly detectMs: number
  readonly mappings: readonly WireMapping[]
}

/** A device that the agent offers. */
export interface WireDevice {
  readonly name: string
  readonly sizeBytes: number
  /** Why it cannot be used now, or null. */
  readonly problem: string | null
}

/** How far an agent is in the history of a log. */
export interface WireReplica {
  readonly logId: string
  /** Id of the incarnation that `end` names. */
  readonly incarnationId: string
  /** Last entry in the journal, its header CRC (0 if it is not known), and the marks below it. */
  readonly end: WirePoint
  readonly endCrc: number
  readonly durable: WirePoint
  readonly applied: WirePoint
  /** Highest primary-durable point that the agent was ever told. */
  readonly primaryDurable: WirePoint
  /** Largest stamp of a copy that it has; it is consistent only from there on. */
  readonly stamp: WirePoint
}

export interface Welcome {
  readonly kind: 'welcome'
  readonly wireVersion: number
  readonly agent: string
  readonly journal: string
  readonly epoch: number
  /** Null: this agent has never replicated this group. */
  readonly replica: WireReplica | null
  readonly devices: readonly WireDevice[]
  /** Mappings that are in force at the end of the agent's journal. */
  readonly mappings: readonly { readonly deviceId: number; readonly mappingId: string; readonly remote: string }[]
  /** How many `dirty-map` messages follow. */
  readonly dirtyMaps: number
  /** Every region counts as dirty, whatever the maps say (journal lost, dirty log unreadable). */
  readonly allDirty: boolean
}

/** A part of the agent's dirty map of one mapping; bit i of byte j (least significant first) is region first + 8j + i. */
export interface DirtyMap {
  readonly kind: 'dirty-map'
  readonly deviceId: number
  readonly mappingId: string
  readonly regionBytes: number
  readonly firstRegion: number
  readonly regionCount: number
  readonly bits: Buffer
}

export interface Resume {
  readonly kind: 'resume'
  /** The last entry that both have; the agent voids all beyond. `[0, 0]` with `restart`. */
  readonly common: WirePoint
  /**
   * The agent starts over: it makes every region of every mapping dirty, durably, forgets its journal and takes this
   * log's identity. Why, for its log and status; null where it does not.
   */
  readonly restart: string | null
  /** Heartbeat and detection as agreed. */
  readonly heartbeatMs: number
  readonly detectMs: number
}

export interface Ready {
  readonly kind: 'ready'
  readonly end: WirePoint
  /** Stream bytes that the primary may send, counted from the first frame behind this message. */
  readonly creditBytes: number
}

export interface Refuse {
  readonly kind: 'refuse'
  readonly code: RefuseCode
  readonly message: string
}

export const refuseCodes = [
  'wire-version',
  'wrong-group',
  'older-epoch',
  'wrong-slink',
  'device-missing',
  'device-size',
  'promoted',
  'busy',
  'protocol',
  'failed',
] as const
export type RefuseCode = (typeof refuseCodes)[number]

/** A mark of the agent: the last entry covered, and the count of stream frames of this session that it covers. */
export type WireMark = readonly [incarnation: number, lsn: Lsn, streamFrames: number]

/** Cumulative. Marks never fall within a session; `applied` <= `durable` <= `received`. */
export interface Ack {
  readonly kind: 'ack'
  /** In the journal file. */
  readonly received: WireMark
  /** On the journal's stable storage. */
  readonly durable: WireMark
  /** On the devices, durably. */
  readonly applied: WireMark
  /** Regions that are dirty at the agent now. */
  readonly dirtyRegions: number
  readonly consistent: boolean
  /** Bytes in use of the journal's ring, and its size. */
  readonly journalUsedBytes: number
  readonly journalBytes: number
}

/** The compressions of packed frames that the agent reads, best first. Before `ready`, from wire version 2 on. */
export interface Codecs {
  readonly kind: 'codecs'
  readonly codecs: readonly number[]
}

/** Total of stream bytes that the primary may have sent since `ready`. Never falls. */
export interface Credit {
  readonly kind: 'credit'
  readonly bytes: number
}

/** The primary's log is durable up to here. Never falls within an incarnation. */
export interface Durable {
  readonly kind: 'durable'
  readonly point: WirePoint
}

/**
 * Somebody waits until every frame that was sent before this message is on the journal's stable storage. The agent syncs
 * at once, and says so as soon as it is true. Without it the agent syncs and tells in its own time. From wire version 4 on.
 */
export interface Sync {
  readonly kind: 'sync'
}

export interface Heartbeat {
  readonly kind: 'heartbeat'
  /** Sender's wall clock in microseconds. */
  readonly sentUs: number
  /** `sentUs` of the last heartbeat received (0: none yet), and how long it was held, in microseconds. */
  readonly echoUs: number
  readonly heldUs: number
}

/**
 * What is the range's digest, when every stream frame that was sent before this message is applied and none behind it?
 * From wire version 3 on. Each is answered by a {@link Verified}, in no order.
 */
export interface Verify {
  readonly kind: 'verify'
  /** Of this question, once in a session. */
  readonly id: number
  readonly deviceId: number
  readonly offset: number
  readonly length: number
}

export interface Verified {
  readonly kind: 'verified'
  readonly id: number
  /** SHA-256 of the range; null where it could not be read, and then `problem` says why. */
  readonly digest: Buffer | null
  readonly problem: string | null
}

/** Something went wrong at the sender; the session ends after it if `fatal`. */
export interface PeerError {
  readonly kind: 'error'
  readonly code: string
  readonly message: string
  readonly fatal: boolean
}

/** A clean end: nothing more comes from the sender. */
export interface Bye {
  readonly kind: 'bye'
  readonly reason: string
}

export type ControlMessage =
  | Hello
  | Welcome
  | DirtyMap
  | Resume
  | Ready
  | Refuse
  | Ack
  | Codecs
  | Credit
  | Durable
  | Sync
  | Heartbeat
  | Verify
  | Verified
  | PeerError
  | Bye

/** Payloads of the stream's rare frames (`map`, `unmap`, `resync-begin`), msgpack maps as well. */
export interface MapPayload extends Omit<WireMapping, 'deviceId'> {
  /**
   * The device there equals the primary's. False: every region counts as dirty, until the announcement that follows in
   * the same session takes the place of that; an agent that dies between the two never believes that it is consistent.
   */
  readonly clean: boolean
}

export interface UnmapPayload {
  /** The mapping that ends: a device may be mapped anew while the end of the old mapping is not applied yet. */
  readonly mappingId: string
}

export interface ResyncBeginPayload {
  readonly mappingId: string
  readonly regionBytes: number
  readonly firstRegion: number
  readonly regionCount: number
  /**
   * As in {@link DirtyMap}. Regions that are set become dirty at the agent. None becomes clean, but for the first
   * announcement behind a `map` that was not clean: it says all that is dirty.
   */
  readonly bits: Buffer
}
