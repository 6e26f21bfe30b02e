/**
 * The link: reaches the agent of one slink, shakes hands, and keeps a session until it ends; then tries again.
 *
 * Owns dialling, backoff and the handshake's shell. At most one attempt or session is under way; what an older one
 * still delivers is ignored. It decides nothing about the log: the plan is pure and the stream is the slink's.
 *
 *   stopped --start--> dialing --> handshaking --> streaming
 *                        ^  '----------'-------------'--- failed, refused, ended --> waiting --(backoff)--> dialing
 */
import {
  backoffMs,
  formatId64,
  HANDSHAKE_MS_MAX,
  isIdentityRefusal,
  must,
  Session,
  stepPrimary,
  WIRE_FLOOR,
  WIRE_VERSION,
  wirePoint,
  type Ack,
  type Carrier,
  type Connection,
  type ControlMessage,
  type DirtyMap,
  type Hello,
  type LogPoint,
  type PrimaryHandshake,
  type PrimaryHandshakeEffect,
  type PrimaryHandshakeEvent,
  type SessionEnd,
  type Timer,
  type Welcome,
} from '@sitelink/protocol'
import { BACKOFF_MS_MAX, BACKOFF_MS_MIN, DIAL_MS_MAX } from '../limits.js'
import { DIALS_IN } from '../trust/dial-in.js'
import { heartbeatMsOf } from './link-terms.js'
import { prepareResume } from './resume.js'
import type { SlinkContext } from './slink-context.js'
import type { Slink } from './slink.js'

export type LinkState =
  | { readonly kind: 'stopped'; readonly reason: string }
  | { readonly kind: 'waiting'; readonly reason: string; readonly attempt: number; readonly refused: boolean }
  | { readonly kind: 'dialing'; readonly attempt: number; readonly reason: string | null }
  | { readonly kind: 'handshaking' }
  | { readonly kind: 'streaming'; readonly sinceMs: number }

const BACKOFF = { minMs: BACKOFF_MS_MIN, maxMs: BACKOFF_MS_MAX }

export class Link {
  readonly #slink: Slink
  readonly #context: SlinkContext
  #state: LinkState = { kind: 'stopped', reason: 'not started' }
  /** Rises with every attempt and every hang-up: what belongs to an older one is void. */
  #turn = 0
  #ended = false
  #attempt = 0
  /** Which address is next: another one only after an attempt that led to no session. */
  #next = 0
  #reached = false
  #timer: Timer | null = null
  #abort: AbortController | null = null
  #session: Session | null = null
  #handshake: PrimaryHandshake = { kind: 'start' }
  #hello: Hello | null = null
  #maps: DirtyMap[] = []
  #resumed: { readonly welcome: Welcome; readonly restart: boolean; readonly common: LogPoint } | null = null
  /** The last acknowledgement that came before the stream was there: the agent repeats none that says nothing new. */
  #earlyAck: Ack | null = null
  #address = ''
  /** Of the present session. */
  #carrier: Carrier | null = null
  #lastCarrier = ''
  #lastProblem: string | null = null
  /** It is to dial, unless it is held. */
  #wanted = false
  #held = false

  constructor(slink: Slink, context: SlinkContext) {
    this.#slink = slink
    this.#context = context
  }

  get state(): LinkState {
    return this.#state
  }

  /** The address in use, or the one tried last; empty before the first. */
  get address(): string {
    return this.#address
  }

  /** What carries the session, where its address leaves that open; null without one. */
  get carrier(): Carrier | null {
    return this.#state.kind === 'streaming' ? this.#carrier : null
  }

  get session(): Session | null {
    return this.#state.kind === 'streaming' ? this.#session : null
  }

  /** Begins to dial, unless something is under way. */
  start(): void {
    if (this.#ended) return
    this.#wanted = true
    if (this.#held || this.#state.kind !== 'stopped') return
    this.#attempt = 0
    this.#dial()
  }

  /** Ends what is under way and does not try again until `start`. */
  stop(reason: string): void {
    this.#wanted = false
    this.#halt(reason)
  }

  /** Ends what is under way and begins nothing, whoever asks for it, until {@link letGo}. */
  hold(reason: string): void {
    this.#held = true
    if (this.#state.kind !== 'stopped') this.#halt(reason)
  }

  letGo(): void {
    this.#held = false
    if (this.#wanted) this.start()
  }

  /** Ends the session, if there is one, and dials anew. A stopped link stays stopped. */
  hangUp(reason: string): void {
    if (this.#state.kind === 'stopped') return
    this.#end(reason)
    this.#wait(reason, false)
  }

  /** The agent has dialled anew: what is under way is over, and is begun again at once. */
  redial(reason: string): void {
    if (this.#state.kind === 'stopped' || this.#state.kind === 'dialing') return
    this.#end(reason)
    this.#attempt = 0
    this.#dial()
  }

  /** As `stop`, and no `start` follows: what ends late, as a drop may, must not dial for a group that has stopped. */
  async close(reason: string): Promise<void> {
    this.#ended = true
    this.stop(reason)
  }

  #halt(reason: string): void {
    this.#end(reason)
    this.#state = { kind: 'stopped', reason }
  }

  #end(reason: string): void {
    this.#turn += 1
    this.#timer?.cancel()
    this.#timer = null
    this.#abort?.abort()
    this.#abort = null
    const session = this.#session
    this.#session = null
    session?.close(reason)
    this.#slink.onStreamEnd(reason)
  }

  #wait(reason: string, refused: boolean): void {
    const attempt = this.#attempt
    this.#attempt += 1
    if (!this.#reached) this.#next += 1
    this.#reached = false
    this.#state = { kind: 'waiting', reason, attempt, refused }
    const delayMs = backoffMs(attempt, this.#slink.config.addresses.length, BACKOFF, this.#context.random)
    this.#timer = this.#context.clock.after(delayMs, () => this.#dial())
  }

  #dial(): void {
    this.#turn += 1
    const turn = this.#turn
    const { addresses } = this.#slink.config
    this.#address = addresses[this.#next % addresses.length] as string
    const dialsIn = this.#address === DIALS_IN
    const reason = dialsIn ? 'it waits for the agent to dial' : this.#lastProblem
    this.#state = { kind: 'dialing', attempt: this.#attempt, reason }
    const scheme = dialsIn ? DIALS_IN : this.#address.slice(0, this.#address.indexOf(':'))
    const transport = this.#context.transport(scheme, this.#slink.number)
    if (transport === null) return this.#failed(`no transport for ${this.#address}`)
    this.#abort = new AbortController()
    const { quic } = this.#slink.config
    transport.dial(this.#address, { timeoutMs: DIAL_MS_MAX, signal: this.#abort.signal, quic }).then(
      (connection) => {
        if (turn === this.#turn) this.#shakeHands(connection, turn)
        else connection.destroy()
      },
      (error: Error) => {
        if (turn === this.#turn) this.#failed(error.message, isIdentityRefusal(error))
      },
    )
  }

  #shakeHands(connection: Connection, turn: number): void {
    this.#abort = null
    this.#carrier = connection.carrier ?? null
    this.#state = { kind: 'handshaking' }
    this.#handshake = { kind: 'start' }
    this.#maps = []
    this.#resumed = null
    this.#earlyAck = null
    this.#hello = this.#makeHello()
    const session = new Session(connection, {
      role: 'primary',
      clock: this.#context.clock,
      compression: () => this.#slink.config.compression,
      keepAlive: { heartbeatMs: heartbeatMsOf(this.#slink.config), detectMs: this.#slink.config.detectMs },
      handler: {
        frame: () => {},
        control: (message) => turn === this.#turn && this.#control(message, turn),
        batchEnd: () => {},
        writable: () => turn === this.#turn && this.#slink.stream?.feed.pump(),
        closed: (end) => turn === this.#turn && this.#closed(end),
      },
    })
    this.#session = session
    this.#timer = this.#context.clock.after(HANDSHAKE_MS_MAX, () => {
      if (turn === this.#turn && this.#state.kind === 'handshaking')
        this.#failed(`the handshake took longer than ${HANDSHAKE_MS_MAX} ms`)
    })
    this.#step({ kind: 'start' }, turn)
  }

  #makeHello(): Hello {
    const { log, group, epoch, random, appended, durable } = this.#context
    return {
      kind: 'hello',
      wireVersion: WIRE_VERSION,
      wireFloor: WIRE_FLOOR,
      group,
      epoch: epoch(),
      slink: this.#slink.number,
      session: random.bytes(8).toString('hex'),
      logId: formatId64(log.identity),
      incarnations: log.incarnations.map(({ number, id, firstLsn }) => ({ number, id: formatId64(id), firstLsn })),
      // It is said in the present life, even where that has not written anything yet.
      head: [log.incarnation.number, appended().lsn],
      durable: wirePoint(durable()),
      heartbeatMs: heartbeatMsOf(this.#slink.config),
      detectMs: this.#slink.config.detectMs,
      mappings: [...this.#slink.mappings].map((mapping) => ({
        deviceId: mapping.deviceId,
        mappingId: mapping.config.mappingId,
        number: mapping.deviceNumber,
        name: mapping.deviceName,
        remote: mapping.config.remote,
        sizeBytes: mapping.sizeBytes,
        regionBytes: mapping.config.regionBytes,
      })),
    }
  }

  #control(message: ControlMessage, turn: number): void {
    if (this.#state.kind === 'handshaking') {
      this.#step({ kind: 'message', message }, turn)
      return
    }
    switch (message.kind) {
      case 'ack':
        if (this.#slink.stream === null) this.#earlyAck = message
        else this.#slink.stream.onAck(message)
        return
      case 'verified':
        if (this.#slink.stream?.verifier.answered(message) !== true)
          this.#failed('the agent sent an answer to a verify that was not asked for')
        return
      case 'error':
        this.#context.event({
          kind: 'agent-error',
          level: 'error',
          message: `the agent of slink ${this.#slink.number} reports: ${message.message}`,
          facts: { slink: this.#slink.number, code: message.code },
        })
        return
      default:
        this.#failed(`the agent sent ${message.kind} in the middle of the stream`)
    }
  }

  #step(event: PrimaryHandshakeEvent, turn: number): void {
    const hello = this.#hello as Hello
    const step = stepPrimary(this.#handshake, event, hello)
    if (step.kind === 'refused') {
      if (step.by === 'us') this.#session?.refuse({ kind: 'refuse', code: step.code, message: step.message })
      this.#failed(step.by === 'us' ? step.message : `the agent refused: ${step.message}`, true)
      return
    }
    this.#handshake = step.state
    for (const effect of step.effects) {
      if (turn !== this.#turn) return
      this.#run(effect, turn)
    }
  }

  #run(effect: PrimaryHandshakeEffect, turn: number): void {
    switch (effect.kind) {
      case 'send':
        this.#session?.sendControl(effect.message)
        return
      case 'take-dirty-map':
        this.#maps.push(effect.map)
        return
      case 'plan':
        prepareResume(this.#slink, effect.welcome, this.#maps, this.#context, () => turn !== this.#turn).then(
          ({ resume, restart, common }) => {
            if (turn !== this.#turn) return
            this.#resumed = { welcome: effect.welcome, restart, common }
            this.#step({ kind: 'planned', resume }, turn)
          },
          (error: Error) =>
            turn === this.#turn && this.#step({ kind: 'cannot', code: 'failed', message: error.message }, turn),
        )
        return
      case 'established':
        this.#establish(turn)
        return
    }
  }

  #establish(turn: number): void {
    const session = this.#session as Session
    const resumed = must(this.#resumed, 'a link is established after its plan')
    this.#timer?.cancel()
    this.#timer = null
    this.#slink.begin({ session, ...resumed }).then(
      () => {
        if (turn !== this.#turn) return
        this.#attempt = 0
        this.#reached = true
        this.#lastProblem = null
        this.#tellCarrier()
        if (this.#earlyAck !== null) this.#slink.stream?.onAck(this.#earlyAck)
      },
      (error: Error) => turn === this.#turn && this.#failed(error.message),
    )
    this.#state = { kind: 'streaming', sinceMs: this.#context.clock.nowMs() }
  }

  /** Told once, until it is another one, or for another reason. */
  #tellCarrier(): void {
    if (this.#carrier === null) return
    const { protocol, why } = this.#carrier
    const message = `slink ${this.#slink.number} goes over ${protocol}${why === null ? '' : `, not HTTP/3: ${why}`}`
    if (message === this.#lastCarrier) return
    this.#lastCarrier = message
    const facts = { slink: this.#slink.number, address: this.#address, protocol, why }
    this.#context.event({ kind: 'slink-carrier', level: 'info', message, facts })
  }

  #closed(end: SessionEnd): void {
    this.#session = null
    this.#failed(end.message)
  }

  #failed(reason: string, refused = false): void {
    const said = this.#lastProblem
    this.#lastProblem = reason
    if (said !== reason) {
      const kind = refused ? 'slink-refused' : 'slink-unreachable'
      this.#context.event({
        kind,
        level: 'warning',
        message: `slink ${this.#slink.number}: ${reason}`,
        facts: { slink: this.#slink.number, address: this.#address },
      })
    }
    this.#end(reason)
    this.#wait(reason, refused)
  }
}
