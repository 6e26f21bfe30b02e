/**
 * One session with a primary, from its first byte to its last: the shell around the handshake's table.
 *
 * Owns the connection's session, its receiver and its acknowledgements. Every decision of the handshake is the table's
 * (protocol: handshake-agent); this file runs its effects in their order and feeds back how they ended. It never touches
 * the replica before it is the one session that may: the replica's owner fences every older one first. Invariant: an
 * acknowledgement says nothing that the journal or the devices do not have.
 */
import { reasonOf } from './reason.js'
import { clipText } from '../control/fields.js'
import type {
  Ack,
  ControlMessage,
  DirtyMap,
  Durable,
  Hello,
  RefuseCode,
  Resume,
  Verified,
  Verify,
} from '../control/messages.js'
import { must } from '../entry/assert.js'
import type { Clock, Timer } from '../entry/clock.js'
import { parseId64, PayloadPool, type Frame, type LogPoint } from '../entry/index.js'
import { HANDSHAKE_MS_MAX, PAYLOADS_KEPT_BYTES, VERIFY_REQUESTS_MAX, WINDOW_BYTES_MIN } from '../limits.js'
import { CreditWindow } from '../session/credit.js'
import {
  stepAgent,
  type AgentFacts,
  type AgentHandshake,
  type AgentHandshakeEffect,
  type AgentHandshakeEvent,
  type AgentStanding,
} from '../session/handshake-agent.js'
import type { SessionEnd } from '../session/session-types.js'
import { Session } from '../session/session.js'
import type { Connection } from '../transport/transport.js'
import { Acknowledger } from './acknowledger.js'
import { WIRE_SYNC } from '../version.js'
import { StreamOrder, type StreamPlace } from './order-check.js'
import { Receiver, type ReceiverHost } from './receiver.js'

/** What is to be read for a verify, and what it was. */
export type VerifiedRange = Pick<Verify, 'deviceId' | 'offset' | 'length'>
export type RangeAnswer = Pick<Verified, 'digest' | 'problem'>

/** What a session asks of the agent. Promises reject where the agent cannot go on. */
export interface SessionHost {
  /** Before a hello is judged: tries what could not be had before. Never rejects. */
  prepare(): Promise<void>
  facts(): AgentFacts
  /** Makes group, slink and epoch the agent's own, durably. Rejects where another session got ahead. */
  adopt(session: AgentSession, group: string, slink: number, epoch: number): Promise<void>
  /** Ends every other session, and resolves when nothing of them can reach the replica any more. */
  fence(session: AgentSession): Promise<AgentStanding>
  dirtyMaps(): Iterable<DirtyMap>
  /** Voids everything beyond `common`, durably. Answers where the stream goes on. */
  cut(session: AgentSession, common: LogPoint, hello: Hello): Promise<StreamPlace>
  startOver(session: AgentSession, reason: string, hello: Hello): Promise<StreamPlace>
  /** The session is established: frames may come. */
  established(session: AgentSession): void
  /** What a receiver of this session needs, beside what the session does itself. */
  receiverHost(): Omit<ReceiverHost, 'refuseFrame' | 'grant' | 'windowBytesMax'>
  readonly windowBytesMax: number
  told(point: LogPoint): void
  /** So many frames of the session are wanted on stable storage, as soon as they are in the journal. */
  syncWanted(streamFrames: number): void
  /** Frames of the session that are on the journal's stable storage. */
  durableFrames(): number
  /**
   * Calls `answered` once, when so many frames of the session are applied and none behind them: with what the range reads
   * as then. Never, if the session ends first.
   */
  verify(range: VerifiedRange, streamFrames: number, answered: (answer: RangeAnswer) => void): void
  /** How far the agent is, for this session. */
  ack(): Ack
  ended(session: AgentSession, end: SessionEnd): void
}

/** See the head of this file. */
export class AgentSession {
  readonly #host: SessionHost
  readonly #clock: Clock
  readonly #session: Session
  readonly #deadline: Timer
  #state: AgentHandshake = { kind: 'awaiting-hello' }
  #hello: Hello | null = null
  #place: StreamPlace | null = null
  #window: CreditWindow | null = null
  #receiver: Receiver | null = null
  #acknowledger: Acknowledger | null = null
  /** Verifies without an answer. */
  #verifying = 0
  /** The primary does not say when it waits: it may always. */
  #alwaysSyncs = false
  #fenced = false
  #establishedAtMs: number | null = null
  /** Effects that are under way; the next event waits for them. */
  #running: Promise<void> = Promise.resolve()

  constructor(connection: Connection, host: SessionHost, clock: Clock) {
    this.#host = host
    this.#clock = clock
    this.#session = new Session(connection, {
      role: 'agent',
      clock,
      payloads: new PayloadPool(PAYLOADS_KEPT_BYTES),
      handler: {
        frame: (frame) => this.#onFrame(frame),
        control: (message) => this.#onControl(message),
        batchEnd: () => this.#onBatchEnd(),
        writable: () => this.askAck(),
        closed: (end) => this.#onClosed(end),
      },
    })
    this.#deadline = clock.after(HANDSHAKE_MS_MAX, () => {
      if (this.#establishedAtMs === null) this.#session.destroy(`the handshake took longer than ${HANDSHAKE_MS_MAX} ms`)
    })
  }

  get description(): string {
    return this.#session.description
  }

  get established(): boolean {
    return this.#state.kind === 'established' && !this.#session.ended
  }

  get ended(): boolean {
    return this.#session.ended
  }

  get hello(): Hello | null {
    return this.#hello
  }

  /** Facts for status. */
  report(): {
    readonly peer: string
    readonly rttMs: number | null
    readonly clockOffsetUs: number | null
    readonly receivedBytes: number
    readonly streamFrames: number
    readonly streamBytes: number
    readonly queuedBytes: number
    readonly sinceMs: number | null
  } {
    const { description, rttMs, clockOffsetUs, receivedBytes, streamFrames, streamBytes } = this.#session
    const sinceMs = this.#establishedAtMs === null ? null : this.#clock.nowMs() - this.#establishedAtMs
    return {
      peer: description,
      rttMs,
      clockOffsetUs,
      receivedBytes,
      streamFrames,
      streamBytes,
      queuedBytes: this.#receiver?.queuedBytes ?? 0,
      sinceMs,
    }
  }

  /**
   * Another session takes over: input is thrown away from now on. Resolves when no frame of it can reach the journal; for
   * a step of its handshake that is under way see {@link AgentSession.settled}.
   */
  async fence(why: string): Promise<void> {
    this.#fenced = true
    this.#session.close(why)
    await this.#receiver?.close()
  }

  /** Fenced: resolves when no step of its handshake is under way any more. Not for a host whose steps wait for each other. */
  async settled(): Promise<void> {
    for (let seen: unknown = null; seen !== this.#running;) await (seen = this.#running)
  }

  /** Resolves when nothing that a frame of this session began is under way any more. Only once it has ended. */
  async quiet(): Promise<void> {
    await this.#receiver?.close()
  }

  /** Ends the session with a reason for the peer. */
  close(why: string): void {
    this.#session.close(why)
  }

  /** Ends the session at once, also one whose farewell is under way. */
  destroy(why: string): void {
    this.#session.destroy(why)
  }

  /** Ends the session because the agent cannot go on. */
  fail(code: string, message: string): void {
    this.#session.fail(code, message)
  }

  /** Tells the primary of trouble that does not end the session. */
  reportTrouble(code: string, message: string): void {
    if (this.established)
      this.#session.sendControl({ kind: 'error', code, message: clipText(message, 1024), fatal: false })
  }

  /** Frames that were appended are in the journal's file. */
  written(bytes: number): void {
    this.#receiver?.written(bytes)
  }

  /** The journal may have room. */
  roomFreed(): void {
    this.#receiver?.pump()
  }

  /** Marks moved that the primary seldom waits for. */
  noteProgress(): void {
    if (this.#alwaysSyncs) this.askAck()
    else if (this.established) this.#acknowledger?.progressed()
  }

  /** Frames came into the journal's file. */
  noteReceived(): void {
    if (this.established) this.#acknowledger?.received()
  }

  /** An acknowledgement is due: one at the end of the turn, whatever happens in it. */
  askAck(): void {
    if (this.established) this.#acknowledger?.ask()
  }

  #onFrame(frame: Frame): void {
    if (!this.#fenced) this.#receiver?.take(frame)
  }

  #onBatchEnd(): void {
    if (this.#fenced) return
    this.#receiver?.pump()
    if (this.#alwaysSyncs) this.#onSync()
  }

  #onControl(message: ControlMessage): void {
    if (this.#fenced) return
    if (this.#state.kind === 'established') return this.#onEstablishedMessage(message)
    if (message.kind !== 'hello' || this.#hello !== null) return this.#step({ kind: 'message', message })
    this.#hello = message
    this.#running = this.#running.then(async () => {
      await this.#host.prepare()
      if (!this.#session.ended && !this.#fenced) this.#step({ kind: 'message', message })
    })
  }

  #onEstablishedMessage(message: ControlMessage): void {
    switch (message.kind) {
      case 'durable':
        return this.#onDurable(message)
      case 'sync':
        return this.#onSync()
      case 'verify':
        // It is answered when they are applied, and nothing is applied that is not durable.
        this.#onSync()
        return this.#onVerify(message)
      case 'error':
        return
      default:
        this.#session.fail('order', `${message.kind} came in an established session`)
    }
  }

  /** The point is the primary's own, so it lies in the incarnation that its hello named. */
  #onDurable({ point: [incarnation, lsn] }: Durable): void {
    if (incarnation > (this.#hello?.head[0] ?? 0))
      return this.#session.fail('order', `durable names incarnation ${incarnation} of the future`)
    this.#host.told({ incarnation, lsn })
  }

  /** It stands behind the frames that came so far, as {@link AgentSession.#onVerify}. */
  #onSync(): void {
    // What came in the same chunk is put into the journal first: one sync covers all of it.
    this.#receiver?.pump()
    const { streamFrames } = this.#session
    this.#acknowledger?.syncWanted(streamFrames)
    this.#host.syncWanted(streamFrames)
  }

  /** It stands behind the frames that came so far, whether they are in the journal yet or not. */
  #onVerify({ id, deviceId, offset, length }: Verify): void {
    if (this.#verifying === VERIFY_REQUESTS_MAX)
      return this.#session.fail('order', `more than ${VERIFY_REQUESTS_MAX} ranges are to be verified at once`)
    this.#verifying += 1
    this.#host.verify({ deviceId, offset, length }, this.#session.streamFrames, ({ digest, problem }) => {
      this.#verifying -= 1
      if (!this.#fenced) this.#session.sendControl({ kind: 'verified', id, digest, problem })
    })
  }

  #step(event: AgentHandshakeEvent): void {
    const step = stepAgent(this.#state, event, this.#host.facts())
    if (step.kind === 'refused') {
      if (step.by === 'peer') return this.#session.destroy(step.message)
      return this.#refuse(step.code, step.message)
    }
    this.#state = step.state
    this.#running = this.#running.then(() => this.#runAll(step.effects))
  }

  async #runAll(effects: readonly AgentHandshakeEffect[]): Promise<void> {
    for (const effect of effects) {
      if (this.#session.ended || this.#fenced) return
      try {
        await this.#run(effect)
      } catch (error) {
        return this.#refuse('failed', `the agent cannot go on: ${reasonOf(error)}`)
      }
    }
  }

  async #run(effect: AgentHandshakeEffect): Promise<void> {
    switch (effect.kind) {
      case 'adopt':
        return this.#host.adopt(this, effect.group, effect.slink, effect.epoch)
      case 'fence': {
        const standing = await this.#host.fence(this)
        if (!this.#fenced) this.#step({ kind: 'fenced', standing })
        return
      }
      case 'send':
        return void this.#session.sendControl(effect.message)
      case 'send-dirty-maps':
        for (const map of this.#host.dirtyMaps()) this.#session.sendControl(map)
        return
      case 'cut':
        return this.#afterCut(
          await this.#host.cut(this, { incarnation: effect.common[0], lsn: effect.common[1] }, effect.hello),
        )
      case 'start-over':
        return this.#afterCut(await this.#host.startOver(this, effect.reason, effect.hello))
      case 'established':
        return this.#become(effect.hello, effect.resume, effect.wireVersion)
    }
  }

  #afterCut(place: StreamPlace): void {
    if (this.#fenced) return
    this.#place = place
    this.#window = new CreditWindow({ bytesMax: Math.max(WINDOW_BYTES_MIN, this.#host.windowBytesMax) })
    this.#step({ kind: 'cut', creditBytes: this.#window.grantedBytes })
  }

  #become(hello: Hello, { heartbeatMs, detectMs }: Resume, wireVersion: number): void {
    this.#alwaysSyncs = wireVersion < WIRE_SYNC
    const order = new StreamOrder(
      must(parseId64(hello.logId), 'a log id is 16 hex digits'),
      hello.head[0],
      must(this.#place, 'the place is known'),
    )
    const host = this.#host.receiverHost()
    const receiverHost: ReceiverHost = {
      device: (deviceId) => host.device(deviceId),
      barrier: (frame) => host.barrier(frame),
      hasRoom: (payloadBytes) => host.hasRoom(payloadBytes),
      append: (frame) => host.append(frame),
      get journalFreeBytes() {
        return host.journalFreeBytes
      },
      get journalReserveBytes() {
        return host.journalReserveBytes
      },
      windowBytesMax: this.#host.windowBytesMax,
      refuseFrame: (code, message) => this.#session.fail(code, message),
      grant: (totalBytes) => this.#session.grant(totalBytes),
    }
    this.#receiver = new Receiver(receiverHost, order, must(this.#window, 'the window is open'), this.#clock)
    this.#acknowledger = new Acknowledger({
      clock: this.#clock,
      ack: () => this.#host.ack(),
      durableFrames: () => this.#host.durableFrames(),
      maySend: () => this.established && !this.#fenced && this.#session.writable,
      send: (ack) => {
        this.#receiver?.noteRtt(this.#session.rttMs)
        this.#session.sendControl(ack)
      },
    })
    this.#deadline.cancel()
    this.#establishedAtMs = this.#clock.nowMs()
    this.#session.setKeepAlive({ heartbeatMs, detectMs })
    this.#host.established(this)
    this.#receiver.pump()
    this.askAck()
  }

  #refuse(code: RefuseCode, message: string): void {
    this.#session.refuse({ kind: 'refuse', code, message })
  }

  #onClosed(end: SessionEnd): void {
    this.#deadline.cancel()
    this.#acknowledger?.stop()
    void this.#receiver?.close()
    this.#host.ended(this, end)
  }
}
