/**
 * The configuration of a group, as it lies in the state directory and as the verbs change it.
 *
 * Owns the shape and its defaults; validation is in `config-check.ts`. It holds what an operator decided, and the
 * identities that decisions made (device ids, mapping ids); it never holds how far anything has got.
 */
import type { WirePoint } from '@sitelink/protocol'
import type { FallBehind } from './slink/fall-behind.js'
import type { LinkTerms } from './slink/link-terms.js'
import type { AckLevel, OverflowPolicy, SlinkMode } from './slink/guard.js'

/**
 * Version of the file:
 *
 *   1  the first
 *   2  `local`; slinks have `name`, `limit`, `resyncSharePercent`, `inFlight`, `compression`, `detectMs`
 *   3  slinks have `quic`
 *
 * `fallBehind.resumePercent` came later and has no version: it is there only where an operator set it, and a release that
 * does not know it refuses such a file by that name.
 */
export const CONFIG_VERSION = 3
export const CONFIG_VERSION_MIN = 1

export interface GroupConfig {
  /** Identity of the group, a UUID, for ever. */
  readonly uuid: string
  /** Rises at each promotion; an older one is refused by agents. From 1. */
  readonly epoch: number
  readonly log: LogConfig
  /** Next internal device id; ids are never reused. From 1. */
  readonly nextDeviceId: number
  readonly devices: readonly DeviceConfig[]
  /** Slink 0, the local site. */
  readonly local: LocalConfig
  readonly slinks: readonly SlinkConfig[]
  readonly nbd: NbdConfig
}

export interface LocalConfig {
  /** `sync`: writers wait until the local devices have it on stable storage. */
  readonly mode: SlinkMode
}

export interface LogConfig {
  readonly path: string
  /** Where on the file or device the log begins, in bytes; a multiple of 4096. */
  readonly startBytes: number
}

export interface NbdConfig {
  /** TCP address `host:port` for exports besides the Unix socket, or null. Plain: asked for with an explicit flag. */
  readonly listen: string | null
}

export interface DeviceConfig {
  /** Internal id, which entries carry. */
  readonly id: number
  /** The operator's number; the same number means the same device on every site. */
  readonly number: number
  /** Unique; the name of the NBD export. */
  readonly name: string
  readonly path: string
  /** As it was added; a device that has become smaller is not used, a larger one is used up to here. */
  readonly sizeBytes: number
}

export interface SlinkConfig extends LinkTerms {
  readonly number: number
  /** Of the site, unique, for people; null: none. */
  readonly name: string | null
  /** Addresses of the agent, tried in turn. */
  readonly addresses: readonly string[]
  readonly mode: SlinkMode
  readonly ack: AckLevel
  readonly overflow: OverflowPolicy
  /** How long a held writer waits without progress, in milliseconds; null: the default of the policy. */
  readonly holdMs: number | null
  readonly fallBehind: FallBehind
  readonly paused: boolean
  readonly mappings: readonly MappingConfig[]
}

export interface MappingConfig {
  readonly deviceId: number
  /** 16 hex digits, new at every map. */
  readonly mappingId: string
  /** The device's name at the agent. */
  readonly remote: string
  readonly dirtyLog: DirtyLogConfig
  readonly regionBytes: number
  /** What the dirty log starts with, once, when the mapping is made. */
  readonly initial: 'sync' | 'nosync'
  /** Entries at or below this point are not for this mapping; null: it has not been made yet, the daemon will. */
  readonly since: WirePoint | null
}

export type DirtyLogConfig =
  | { readonly type: 'core' }
  /** `path` null: a file of ours in the state directory. */
  | { readonly type: 'disk'; readonly path: string | null }

/** Where a configuration is kept: `update` is atomic, durable on return, one at a time. */
export interface ConfigStore {
  readonly current: GroupConfig
  update(change: (current: GroupConfig) => GroupConfig): Promise<unknown>
}
