/**
 * What a replica is made of, and whom it tells what. Shapes only; replica.ts says what happens.
 */
import type { Clock, Random } from '@sitelink/protocol'
import type { DiskProvider } from '@sitelink/storage'
import type { DeviceConfig } from '../device/device-set.js'
import type { AgentEventSink } from '../events.js'
import type { AgentLimits } from '../limits.js'

export interface ReplicaOptions {
  readonly disks: DiskProvider
  readonly clock: Clock
  readonly random: Random
  readonly limits: AgentLimits
  readonly stateDir: string
  readonly journalPath: string
  readonly journalBytes: number
  readonly devices: readonly DeviceConfig[]
  /** Give up the journal that is there, whatever it is: every region is dirty before it is made anew. */
  readonly forgetJournal: boolean
  readonly event: AgentEventSink
}

/** What a replica tells the agent. */
export interface ReplicaListener {
  /** Frames are in the journal's file; see {@link JournalListener.written}. */
  written(bytes: number, copiesOnly: boolean): void
  spaceFreed(): void
  /** Something that an acknowledgement or a status says changed. */
  changed(): void
  /** No session can go on: the journal failed or is damaged. */
  broken(code: string, message: string): void
  /** A device failed or works again; the primary is told. */
  trouble(code: string, message: string): void
}
