/**
 * The sessions of an agent: any number that greet, at most one that replicates.
 *
 * Owns who may touch the replica. A new session that was found good fences: every other one that got as far is closed,
 * its input is thrown away, and only when nothing of it can reach the journal does the new one hear how far the replica
 * is. Steps that change the replica run one after the other. Invariant: at most one session appends, at any time.
 */
import {
  AgentSession,
  type SessionHost,
  clipText,
  must,
  type AgentFacts,
  type Clock,
  type Connection,
  type DirtyMap,
  type SessionEnd,
} from '@sitelink/protocol'
import type { AgentEventSink } from '../events.js'
import { GREETING_CONNECTIONS_MAX, JOURNAL_RESERVE_PART, type AgentLimits } from '../limits.js'
import type { Replica } from '../replica/replica.js'

export interface SessionSetOptions {
  readonly clock: Clock
  readonly limits: AgentLimits
  readonly replica: Replica
  readonly event: AgentEventSink
  /** A step that forgets the journal comes: whoever holds the replica still lets it go. */
  readonly endExports: (why: string) => Promise<void>
}

/** Counts since the start. */
export interface SessionCounts {
  established: number
  refused: number
  fenced: number
  connections: number
}

/** See the head of this file. */
export class SessionSet {
  readonly counts: SessionCounts = { established: 0, refused: 0, fenced: 0, connections: 0 }
  readonly #options: SessionSetOptions
  readonly #all = new Set<AgentSession>()
  /** The session that the replica belongs to: from its fence on. */
  #owner: AgentSession | null = null
  /** Those that were told to go, for others that came later. */
  readonly #leaving = new WeakSet<AgentSession>()
  /** Of those, oldest first, the ones whose farewell is under way: at most {@link GREETING_CONNECTIONS_MAX}. */
  readonly #farewells = new Set<AgentSession>()
  readonly #tellEnd = new WeakMap<AgentSession, (established: boolean) => void>()
  #maps: readonly DirtyMap[] = []
  #steps: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(options: SessionSetOptions) {
    this.#options = options
  }

  /** The session that replicates, or null. */
  get current(): AgentSession | null {
    return this.#owner?.established === true ? this.#owner : null
  }

  /** Takes a new connection. `ended` is called once its session is over, unless all of them are ended. */
  accept(connection: Connection, ended: (established: boolean) => void = () => {}): void {
    if (this.#closed) return connection.destroy()
    this.counts.connections++
    const greeting = [...this.#all].filter((session) => session !== this.#owner && !this.#leaving.has(session))
    const [oldest] = greeting
    if (oldest !== undefined && greeting.length >= GREETING_CONNECTIONS_MAX) {
      this.#leaving.add(oldest)
      this.#farewells.add(oldest)
      oldest.close('too many connections are greeting')
      this.#cutFarewells()
    }
    const session = new AgentSession(connection, this.#host(), this.#options.clock)
    this.#all.add(session)
    this.#tellEnd.set(session, ended)
  }

  /** Who does not take what he is told may keep his connection for a while: not too many do. */
  #cutFarewells(): void {
    const [longest] = this.#farewells
    if (longest === undefined || this.#farewells.size <= GREETING_CONNECTIONS_MAX) return
    this.#farewells.delete(longest)
    longest.destroy('too many connections are greeting')
  }

  /** Ends all; resolves when nothing reaches the replica any more. */
  async close(why: string): Promise<void> {
    this.#closed = true
    for (const session of [...this.#all]) await session.fence(why)
    await this.#steps
  }

  /** Ends the session that replicates: the replica cannot go on. */
  failCurrent(code: string, message: string): void {
    this.#owner?.fail(code, clipText(message, 1024))
  }

  #host(): SessionHost {
    const { replica, limits } = this.#options
    return {
      prepare: () =>
        this.#step(async () => {
          // What opens a replica anew does not stand still where they were opened.
          if (replica.broken !== null) await this.#options.endExports('the replica is opened anew')
          await replica.prepare()
        }),
      facts: () => this.#facts(),
      adopt: (session, group, slink, epoch) =>
        this.#step(() => {
          this.#refuseOvertaken(session)
          return replica.adopt(group, slink, epoch)
        }),
      fence: (session) => this.#step(() => this.#fence(session)),
      dirtyMaps: () => this.#maps,
      cut: (session, common, hello) => this.#ownStep(session, () => replica.cut(common, hello)),
      startOver: (session, why, hello) =>
        this.#ownStep(session, async () => {
          await this.#options.endExports(`the replica starts over: ${why}`)
          return replica.startOver(why, hello)
        }),
      established: (session) => this.#established(session),
      receiverHost: () => ({
        device: (deviceId) => replica.line.table.streamDevice(deviceId),
        barrier: (frame) => replica.line.barrier(frame),
        hasRoom: (payloadBytes) => replica.broken === null && replica.line.journal.hasRoom(payloadBytes),
        append: (frame) => replica.line.append(frame),
        get journalFreeBytes() {
          return replica.broken === null ? replica.line.journal.log.freeBytes : 0
        },
        get journalReserveBytes() {
          return replica.broken === null ? Math.floor(replica.line.journal.log.ringBytes / JOURNAL_RESERVE_PART) : 0
        },
      }),
      get windowBytesMax() {
        return Math.min(limits.windowBytesMax, Math.floor(replica.line.journal.log.ringBytes / 4))
      },
      told: (point) => replica.told(point),
      syncWanted: (streamFrames) => replica.syncWanted(streamFrames),
      durableFrames: () => replica.lineOrNull?.journal.durable.frames ?? 0,
      verify: (range, streamFrames, answered) => {
        if (replica.broken !== null) answered({ digest: null, problem: replica.broken })
        else replica.line.verify(range, streamFrames, answered)
      },
      ack: () => replica.ack(),
      ended: (session, end) => this.#ended(session, end),
    }
  }

  #facts(): AgentFacts {
    const { replica } = this.#options
    const { agentId, journalId, group, slink, epoch } = replica.state
    return {
      agent: agentId,
      journal: journalId,
      group,
      slink,
      epoch,
      promoted: false,
      busy: this.#closed ? 'it is stopping' : replica.broken,
      devices: replica.devices.offered(),
    }
  }

  async #fence(session: AgentSession): ReturnType<SessionHost['fence']> {
    const { replica } = this.#options
    this.#refuseOvertaken(session)
    for (const other of [...this.#all]) {
      if (other === session || other.hello === null) continue
      if (other === this.#owner) {
        this.counts.fenced++
        this.#event('info', 'session-fenced', `${other.description} was closed: ${session.description} took over`)
      }
      await other.fence('a newer session took over')
    }
    if (replica.broken === null) replica.line.sessionEnded()
    this.#owner = session
    const { standing, maps } = await replica.standing()
    this.#maps = maps
    return standing
  }

  /** Since its hello was judged, another session may have taken the replica into a newer epoch or another group. */
  #refuseOvertaken(session: AgentSession): void {
    const { group, slink, epoch } = this.#options.replica.state
    const hello = must(session.hello, 'a session takes over after its hello')
    const isOther = (group !== null && group !== hello.group) || (slink !== null && slink !== hello.slink)
    if (session.ended || isOther || hello.epoch < epoch) throw new Error('another session took over')
  }

  #established(session: AgentSession): void {
    this.counts.established++
    const { state } = this.#options.replica
    const facts = { group: state.group, slink: state.slink, epoch: state.epoch }
    this.#event('info', 'session-established', `${session.description} replicates to this agent`, facts)
  }

  #ended(session: AgentSession, end: SessionEnd): void {
    this.#all.delete(session)
    this.#farewells.delete(session)
    if (!this.#closed) this.#tellEnd.get(session)?.(session.report().sinceMs !== null)
    // What its last frame began goes on without it: no step may come in between, neither a new session's nor a stop.
    void this.#step(() => session.quiet())
    if (session !== this.#owner) {
      if (end.kind === 'local' && end.code !== null) this.counts.refused++
      // Also one that never got to a hello, if what it sent says what it is: one that speaks TLS here, say.
      if (end.code !== null && (session.hello !== null || end.kind === 'protocol'))
        this.#event('warn', 'session-refused', `${session.description}: ${end.message}`, { code: end.code })
      return
    }
    this.#event(
      end.kind === 'peer-bye' || end.kind === 'local' ? 'info' : 'warn',
      'session-ended',
      `${session.description}: ${end.message}`,
      {
        reason: end.kind,
        code: end.code,
      },
    )
  }

  /** A step of the session that owns the replica; rejects where it does not any more. */
  #ownStep<T>(session: AgentSession, run: () => Promise<T>): Promise<T> {
    return this.#step(() => {
      if (this.#owner !== session || session.ended) throw new Error('a newer session took over')
      return run()
    })
  }

  #step<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#steps.then(run)
    this.#steps = result.catch(() => {}) // whoever asked for the step gets its error
    return result
  }

  #event(
    level: 'info' | 'warn',
    kind: 'session-established' | 'session-ended' | 'session-refused' | 'session-fenced',
    message: string,
    facts: Record<string, string | number | null> = {},
  ): void {
    this.#options.event({ level, kind, message, facts })
  }
}
