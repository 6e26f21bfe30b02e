/**
 * Limits of the agent, each with its unit last and its reason. Relations between them are asserted here, once.
 */
import { assert, LARGEST_FRAME_BYTES, WINDOW_BYTES_MIN } from '@sitelink/protocol/light'

const MIB = 1024 * 1024

/** What an owner may set; the rest of this file is fixed. */
export interface AgentLimits {
  /** Stream bytes that the primary may have under way to us: what a session may hold in memory before the journal has it. */
  readonly windowBytesMax: number
  /** Payload bytes that write-back holds in memory on their way to the devices. */
  readonly writeBackBytesMax: number
  /** Frames that are read from the journal in one step on their way to the devices, in bytes. */
  readonly applyReadBytes: number
  /**
   * Frames kept in memory until the applier has taken them, in bytes. It follows at the distance of what the primary has
   * not called durable yet, a tenth of a second: what it finds here is neither read nor checked again. See also
   * {@link RECENT_ENTRIES_MAX}.
   */
  readonly recentBytesMax: number
  /** What the primary is known to have durably is written down again after so long at the earliest: one sync each. */
  readonly toldMsMin: number
  /** Regions that a resync completed are written down as clean at most this long after. */
  readonly cleanMsMax: number
  /** Devices are synced so long after a resync brought all that there was, rather than with the next regular sync. */
  readonly catchUpMs: number
  /** Fill of the journal at which a frozen export ends unless it is held. */
  readonly exportFillMax: number
  /** How long a clean stop applies what may be applied. */
  readonly stopMsMax: number
  /** How long an export waits for the devices to reach the point where it freezes. */
  readonly freezeMsMax: number
}

export const AGENT_LIMITS: AgentLimits = {
  windowBytesMax: 32 * MIB,
  writeBackBytesMax: 40 * MIB,
  applyReadBytes: MIB,
  recentBytesMax: 32 * MIB,
  toldMsMin: 50,
  cleanMsMax: 100,
  catchUpMs: 50,
  exportFillMax: 0.8,
  stopMsMax: 10_000,
  freezeMsMax: 60_000,
}

/** Memory of reads of the journal that is kept for the next ones, in bytes: what one layer gives back at once. */
export const JOURNAL_READS_KEPT_BYTES = 16 * MIB

/** How long a dial of the primary may take, and the waiting between two of them: doubles to the last, with jitter. */
export const DIAL_MS_MAX = 10_000
export const DIAL_BACKOFF_MS_MIN = 100
export const DIAL_BACKOFF_MS_MAX = 5000

/** And how many: the objects around small ones cost the collector more than it costs to read them again. */
export const RECENT_ENTRIES_MAX = 2048

/** Default size of the journal: a few seconds of a fast link. */
export const JOURNAL_BYTES_DEFAULT = 256 * MIB

/** Smallest journal: the largest frame fits, and something beside it. */
export const JOURNAL_BYTES_MIN = 4 * MIB

/** Names of devices, in bytes of UTF-8: what a message between peers carries. */
export const DEVICE_NAME_BYTES_MAX = 128

/** Devices of one agent: what one welcome carries. */
export const DEVICE_COUNT_MAX = 1024

/** Part of the journal that grants never touch: groups and superblocks take room beyond the bytes of the stream. */
export const JOURNAL_RESERVE_PART = 16

/** Peers that an agent knows, revoked ones included. */
export const PEERS_MAX = 64

/** How long an invitation counts: unless told otherwise, and at most. */
export const INVITATION_MS_DEFAULT = 15 * 60_000
export const INVITATION_MS_MAX = 7 * 24 * 3_600_000

/** Enrolments that are refused in so much time before every further one is. */
export const ENROL_FAILURES_MAX = 10
export const ENROL_FAILURES_MS = 60_000

/** Events that strangers can cause in so much time; the others are counted. */
export const REFUSAL_EVENTS_MAX = 20
export const REFUSAL_EVENTS_MS = 60_000

/**
 * Connections that have not said hello; a further one pushes out the oldest. As many of those that were pushed out may be
 * hearing why; a further one of them is cut off.
 */
export const GREETING_CONNECTIONS_MAX = 16

/** Marks that were found void at one resume and are not applied yet; a further one takes the place of the oldest. */
export const VOIDS_MAX = 64

/** Requests of one frozen export that are under way at once, in bytes. */
export const EXPORT_READ_BYTES_MAX = 32 * MIB

/** Resolves the limits of one agent. */
export function resolveAgentLimits(some: Partial<AgentLimits> = {}): AgentLimits {
  const limits = { ...AGENT_LIMITS, ...some }
  for (const [name, value] of Object.entries(limits)) assert(value > 0, `agent limit ${name} is positive`)
  assert(limits.windowBytesMax >= WINDOW_BYTES_MIN, 'the window holds several of the largest frames')
  assert(limits.exportFillMax < 1, 'an export ends before the journal is full')
  return limits
}

assert(JOURNAL_BYTES_MIN >= 3 * LARGEST_FRAME_BYTES, 'the smallest journal holds the largest frame and its reserve')
