/**
 * Limits of write-back, each with its unit last and its reason. Relations between them are asserted where they are
 * resolved, once per {@link WriteBackLimits}.
 */
import { assert, ENTRY_PAYLOAD_BYTES_MAX } from '@sitelink/protocol/entry'

/** What bounds memory, start-up and the pace of the devices. An owner may pass some of them, e.g. from its ring's size. */
export interface WriteBackLimits {
  /** Payload bytes held in memory. Past it, entries are noted with a pointer into the log instead of their bytes. */
  readonly memoryBytesMax: number
  /** Intervals over all layers, 110 (dense) to 190 (scattered) bytes of memory each. Past it, `hasRoom` is false. */
  readonly intervalsMax: number
  /** Log bytes between the applied position and the newest entry, which a restart has to read. Past it, `hasRoom` is false. */
  readonly lagBytesMax: number
  /**
   * A layer of so many log bytes is closed: large enough to merge neighbours, and to write many pieces close to each other
   * one after the other, which costs half of what it costs in no order; small enough to let memory go soon.
   */
  readonly layerBytes: number
  /** A layer of so many intervals is closed: bounds the turn that plans its device writes. */
  readonly layerIntervals: number
  /** A layer this old is closed: bounds how long an idle group keeps its last bytes in memory. */
  readonly layerAgeMs: number
  /** Closed layers that are not yet on the devices; the active one grows meanwhile, to {@link LAYER_GROWTH_MAX} times its size. */
  readonly closedLayersMax: number
  /** Log bytes that may be kept from the devices while writers are at work (see `put-off.ts`), and for how long. */
  readonly putOffBytesMax: number
  readonly putOffMsMax: number
  /** So many entries that come fast, behind others of their commit group, show that writers are at work. */
  readonly rushEntries: number
  /** Log bytes written to the devices and not synced that call for a sync. */
  readonly syncBytes: number
  /** Age of the oldest unsynced bytes that calls for a sync. */
  readonly syncMs: number
  /** Device writes under way at once per device. */
  readonly writesInFlightMax: number
  /** Bytes of one merged device write. */
  readonly writeBytesMax: number
  /** Buffers of one merged device write: below the IOV_MAX of every system (1024), the longest vector a write takes. */
  readonly writePiecesMax: number
  /** Bytes that are on their way from the log to the devices, over all devices. */
  readonly logReadBytesMax: number
  /** First and longest pause before a failed device is tried again; it doubles in between. */
  readonly retryMsMin: number
  readonly retryMsMax: number
}

const MIB = 1024 * 1024

export const WRITE_BACK_LIMITS: WriteBackLimits = {
  memoryBytesMax: 64 * MIB,
  intervalsMax: 512 * 1024,
  lagBytesMax: 1024 * MIB,
  layerBytes: 16 * MIB,
  layerIntervals: 16 * 1024,
  layerAgeMs: 250,
  closedLayersMax: 4,
  putOffBytesMax: 128 * MIB,
  putOffMsMax: 2000,
  rushEntries: 64,
  syncBytes: 128 * MIB,
  syncMs: 1000,
  writesInFlightMax: 4,
  writeBytesMax: MIB,
  writePiecesMax: 512,
  logReadBytesMax: 8 * MIB,
  retryMsMin: 100,
  retryMsMax: 5000,
}

/**
 * Once memory is full it takes no payload until it holds no more than this share of its limit. What is left to the log then
 * lies close together there, and comes back in few large reads; with room for one payload every now and then, each of the
 * others would be a read by itself.
 */
export const MEMORY_LOW_SHARE = 0.75

/** Share of its ring that write-back may lag, so that a restart redoes a bounded part, and the most of it. */
const LAG_SHARE = 0.5
const LAG_BYTES_MAX = 256 * MIB

/** Limits that follow from the size of the ring that is emptied: what lies in a small one has to leave it in small steps. */
export type RingLimits = Pick<WriteBackLimits, 'lagBytesMax' | 'layerBytes' | 'putOffBytesMax' | 'syncBytes'>

/** Limits for a ring of so many bytes. */
export function ringLimits(ringBytes: number): RingLimits {
  const lagBytesMax = Math.min(LAG_BYTES_MAX, Math.floor(ringBytes * LAG_SHARE))
  return {
    lagBytesMax,
    layerBytes: Math.min(WRITE_BACK_LIMITS.layerBytes, Math.ceil(lagBytesMax / LAYERS_PER_LAG)),
    putOffBytesMax: Math.floor(lagBytesMax / 2),
    syncBytes: Math.min(WRITE_BACK_LIMITS.syncBytes, Math.ceil(lagBytesMax / LAYERS_PER_LAG)),
  }
}

/** The most intervals that noting one entry can add: its own head, run and tail, and what it splits. */
export const INTERVALS_PER_ENTRY_MAX = 8

/** Layers that a lag at its bound has, at least. */
export const LAYERS_PER_LAG = 4

/** The active layer grows to so many times its size while enough closed ones wait; then it is closed all the same. */
export const LAYER_GROWTH_MAX = 4

/** Length of the shared buffer that zero pieces are sliced from, in bytes. */
export const ZERO_BUFFER_BYTES = 256 * 1024

/** Fills in the defaults and checks that the limits fit together. */
export function resolveLimits(some: Partial<WriteBackLimits> = {}): WriteBackLimits {
  const limits = { ...WRITE_BACK_LIMITS, ...some }
  for (const [name, value] of Object.entries(limits)) assert(value >= 0, `write-back limit ${name} is not negative`)
  assert(limits.intervalsMax >= INTERVALS_PER_ENTRY_MAX, 'the biggest entry fits into the interval limit')
  assert(limits.writeBytesMax >= ENTRY_PAYLOAD_BYTES_MAX, 'the biggest interval fits into one device write')
  assert(limits.logReadBytesMax >= limits.writeBytesMax, 'one device write fits into the log read budget')
  assert(limits.writePiecesMax >= 1 && limits.writePiecesMax <= 1024, 'a device write is a vector that systems take')
  assert(limits.writesInFlightMax >= 1 && limits.closedLayersMax >= 1, 'something may be under way')
  assert(limits.rushEntries >= 1, 'a rush is made of entries')
  assert(limits.retryMsMin > 0 && limits.retryMsMin <= limits.retryMsMax, 'retry pauses grow')
  return limits
}
