/**
 * An agent on a traced host: what it acknowledged goes as promises into the trace, and what a dead one left is opened again.
 *
 * Owns the real agent. What it has is judged from outside: its devices with its journal laid over them, by code of the
 * tests' own, are the history at the point that the agent says, if it says that it is consistent.
 */
import type { Slink } from '@sitelink/primary'
import { MemoryNetwork } from '@sitelink/protocol'
import { Prng, SimClock, type FaultDiskProvider, type HostTrace, type SparseBytes } from '@sitelink/storage/testing'
import { AgentHost } from '../pair/agent-host.js'
import type { World } from '../pair/world.js'
import { areaOfLog } from './log-life.js'

type StreamSession = NonNullable<Slink['stream']>

/** The smallest that an agent takes. */
export const JOURNAL_BYTES = 4 * 1024 * 1024

/** LSNs of the present history that the primary was told: in the journal's file, and on stable storage. */
export interface Acknowledged {
  readonly received: number
  readonly durable: number
}

export interface AgentFacts {
  readonly incarnation: number
  readonly receivedLsn: number
  readonly consistent: boolean
  /** Devices with a dirty region. */
  readonly dirty: ReadonlySet<string>
  /** Devices that, with the journal, are not the history at that point. */
  readonly different: readonly string[]
  /** Devices that alone are not the history at the point up to which it says that they have it. */
  readonly wronglyApplied: readonly string[]
}

export function areaOfAgent(path: string, offset: number): string {
  if (path.endsWith('/state/journal')) return areaOfLog(offset)
  return path.includes('/dirty-') ? (offset < 8192 ? 'header' : 'bitmap') : 'data'
}

/** Lets time pass in small steps; each acknowledgement that arrives is marked. */
export class AckWatch {
  #told: Acknowledged = { received: 0, durable: 0 }
  #marked: Acknowledged = this.#told
  #stream: StreamSession | null = null

  constructor(
    readonly world: World,
    readonly trace: HostTrace,
  ) {}

  look(): void {
    const { primary } = this.world
    this.#listen(primary.slink().stream)
    const { lastLsn } = primary.history
    // What the primary lost in a power cut is not owed by anybody any more.
    const received = Math.min(lastLsn, this.#told.received)
    const durable = Math.min(lastLsn, this.#told.durable)
    this.#told = { received, durable }
    if (received === this.#marked.received && durable === this.#marked.durable) return
    this.#marked = this.#told
    this.trace.mark(this.#told)
  }

  /** Hears the acknowledgements of a new session, as they come. */
  #listen(stream: StreamSession | null): void {
    if (stream === null || stream === this.#stream) return
    this.#stream = stream
    const onAck = stream.onAck.bind(stream)
    stream.onAck = (ack) => {
      const received = Math.max(this.#told.received, ack.received[1])
      this.#told = { received, durable: Math.max(this.#told.durable, ack.durable[1]) }
      onAck(ack)
    }
  }

  async flow(ms: number): Promise<void> {
    for (let at = 0; at < ms; at++) {
      await this.world.advance(1)
      this.look()
    }
  }
}

/** Opens what an agent left behind and says what is there. `names`: its device of each device id. */
export async function openAgent(
  world: World,
  disks: FaultDiskProvider,
  names: ReadonlyMap<number, string>,
  imagesAt: (incarnation: number, lsn: number) => ReadonlyMap<number, SparseBytes> | null,
): Promise<AgentFacts> {
  const clock = new SimClock()
  const prng = new Prng(1)
  const network = new MemoryNetwork({ clock, random: prng })
  const { name, devices } = world.agent
  const host = new AgentHost({ clock, network, prng, name, journalBytes: JOURNAL_BYTES, left: { disks, devices } })
  const found = await clock.runUntil(host.replayed(names))
  if (found?.hole === true) throw new Error('the journal has a hole')
  const agent = await clock.runUntil(host.start(), 60_000)
  // What it may apply it does, so that it comes to say what it thinks of itself.
  await clock.advance(1500)
  const { replica, mappings, broken } = agent.status()
  const onDevices = new Map([...names].map(([deviceId, device]) => [deviceId, host.content(device)]))
  host.crash('none')
  if (replica === null || replica.incarnation === null || replica.receivedLsn === null)
    throw new Error(`the agent has no replica: ${broken}`)
  const { incarnation, receivedLsn, consistent } = replica
  const wanted = imagesAt(incarnation, receivedLsn)
  if (wanted === null) throw new Error(`the agent ends at ${incarnation}:${receivedLsn}, which was never written`)
  const differentFrom = (
    images: ReadonlyMap<number, SparseBytes>,
    what: ReadonlyMap<number, SparseBytes> | null,
  ): string[] =>
    [...names]
      .filter(([deviceId]) => what?.get(deviceId)?.firstDifference(images.get(deviceId) as SparseBytes) !== -1)
      .map(([, device]) => device)
  const different = differentFrom(wanted, found?.images ?? null)
  const applied = consistent ? imagesAt(incarnation, replica.appliedLsn ?? 0) : null
  const wronglyApplied = applied === null ? [] : differentFrom(applied, onDevices)
  const dirty = new Set(mappings.filter(({ regionsDirty }) => regionsDirty !== 0).map(({ device }) => device))
  return { incarnation, receivedLsn, consistent, dirty, different, wronglyApplied }
}

/** What these facts break of what the agent said and acknowledged, or null. */
export function judgeAgent(facts: AgentFacts, { received, durable }: Acknowledged, isKill: boolean): string | null {
  const { receivedLsn, consistent, dirty, different } = facts
  const wanted = isKill ? received : durable
  if (receivedLsn < wanted) return `the agent acknowledged LSN ${wanted}, it has ${receivedLsn}`
  if (consistent && dirty.size > 0) return 'the agent is consistent with dirty regions'
  if (facts.wronglyApplied.length > 0) return `${facts.wronglyApplied.join()} is not what the agent says it applied`
  const hidden = different.find((device) => consistent || !dirty.has(device))
  if (hidden === undefined) return null
  return `${hidden} with its journal is not the history at ${facts.incarnation}:${receivedLsn}, and nothing says so`
}
