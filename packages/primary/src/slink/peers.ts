/**
 * Which agent stands behind each slink: recorded at the first contact, compared at every other.
 *
 * Another agent, or the same with another journal, cannot be trusted to have what this one had acknowledged: every
 * region is dirty then. Recorded durably before the first frame is sent; rewritten only when it changes.
 */
export interface PeerRecord {
  /** Identity of the agent. */
  readonly agent: string
  /** Identity of its journal; empty: it makes itself a new one, which its next welcome names. */
  readonly journal: string
}

/** Where the records are kept: one small file, replaced as a whole. */
export interface PeerStore {
  get(slink: number): PeerRecord | null
  set(slink: number, record: PeerRecord | null): Promise<void>
}
