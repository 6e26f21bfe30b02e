/**
 * The encrypted links of a group: this side's identity, the pinned ones, and the transports of each slink.
 *
 * Owns what happens around a judgement: a pin that follows a rotation is durable before the session begins, a revoked
 * one ends its connection at once. Transports of its own for each slink is how a dial knows whose key it must meet. The
 * rules are pins.ts and link-plan.ts.
 */
import type { Identity } from '@sitelink/daemon'
import {
  findHttp3,
  KeyedTransports,
  ProtocolError,
  TlsTransport,
  type Clock,
  type Judgement,
  type Listener,
  type LoadHttp3,
  type QuicMode,
  type Random,
  type TlsIdentity,
} from '@sitelink/protocol'
import { primaryErrors } from '../errors.js'
import type { EventSink } from '../group/events.js'
import type { DialIn } from './dial-in.js'
import { enrol } from './enrol.js'
import { planLink, type LinkWish } from './link-plan.js'
import { judgePin, movedPin, pinOf, short, withoutPin, withPin, type Pin, type Pins } from './pins.js'

/** Of agents that are refused one is told of in so long, in milliseconds; of connections that cannot be taken one as well. */
const REFUSAL_EVENT_MS = 1000

/** Where the pins are kept: `update` is atomic, durable on return, one at a time. */
export interface PinStore {
  readonly current: Pins
  update(change: (current: Pins) => Pins): Promise<unknown>
}

export interface AgentLinksParts {
  readonly clock: Clock
  readonly random: Random
  readonly pins: PinStore
  readonly identity: { readonly current: TlsIdentity; rotate(): Promise<Identity> }
  readonly event: EventSink
  /** Another way to the optional library of HTTP/3, for tests. */
  readonly loadHttp3?: LoadHttp3
}

/** What of a wish counts when its link is made ready. */
export interface LinkTaking {
  readonly isNew: boolean
  /** How an invitation is carried to the agent, if by `https://`; without it `auto`. */
  readonly quic?: QuicMode
  readonly check: (addresses: readonly string[]) => void
}

/** See the head of this file. */
export class AgentLinks {
  readonly #parts: AgentLinksParts
  readonly #transports = new Map<number, KeyedTransports>()
  /** Takes agents that dial. */
  #listening: TlsTransport | null = null
  #refusedMs = -Infinity
  #troubledMs = -Infinity

  constructor(parts: AgentLinksParts) {
    this.#parts = parts
  }

  get pins(): Pins {
    return this.#parts.pins.current
  }

  /** The transports by which a slink reaches its agent, and no other. */
  transports(slink: number): KeyedTransports {
    const { clock, random, identity, loadHttp3 } = this.#parts
    let transports = this.#transports.get(slink)
    if (transports === undefined) {
      transports = new KeyedTransports({
        clock,
        random,
        ...(loadHttp3 === undefined ? {} : { loadHttp3 }),
        identity: () => identity.current,
        judge: ({ keys }) => this.#judge(slink, keys),
      })
      this.#transports.set(slink, transports)
    }
    return transports
  }

  /**
   * Makes ready how a slink is to be reached: an invitation is used up and its identity pinned, durably. Answers the
   * addresses. `check` is called before, and throws where the rest of the wish is no good: a token counts only once.
   */
  async prepare(
    slink: number,
    addresses: readonly string[],
    wish: LinkWish,
    { isNew, quic = 'auto', check }: LinkTaking,
  ): Promise<readonly string[]> {
    const { clock, random, pins, identity, loadHttp3 } = this.#parts
    // A pin that a slink left behind that was deleted is nobody's.
    const pinned = !isNew && pinOf(pins.current, slink) !== null
    const plan = planLink(addresses, wish, { slink, pinned })
    check(plan.addresses)
    if (quic === 'require') await this.requireHttp3(plan.addresses)
    if (plan.pin !== null) {
      await this.#pin(slink, { fingerprint: plan.pin, enrolledMs: Math.floor(clock.wallUs() / 1000) })
      return plan.addresses
    }
    if (plan.invitation === null) {
      if (isNew && pinOf(pins.current, slink) !== null) await pins.update((current) => withoutPin(current, slink))
      return plan.addresses
    }
    const pin = await enrol(plan.invitation, plan.addresses, {
      identity: identity.current,
      clock,
      random,
      quic,
      loadHttp3,
    })
    await this.#pin(slink, pin)
    return plan.addresses
  }

  /** Throws `LINK_HTTP3` where addresses are to be reached over HTTP/3 and its library is not here. */
  async requireHttp3(addresses: readonly string[]): Promise<void> {
    const address = addresses.find((one) => one.startsWith('https:'))
    if (address === undefined) return
    const found = await findHttp3(this.#parts.clock, this.#parts.loadHttp3)
    if (found.kind === 'loaded') return
    const { message } = new ProtocolError('HTTP3_UNAVAILABLE', { address, why: found.why })
    throw primaryErrors.create('LINK_HTTP3', { why: message })
  }

  async #pin(slink: number, pin: Pin): Promise<void> {
    // Looked at where it is changed: it may move to another key until then.
    let before: Pin | null = null
    await this.#parts.pins.update((current) => {
      before = pinOf(current, slink)
      return withPin(current, slink, pin)
    })
    this.#endAll(slink, before, 'another identity was pinned')
    this.#event('peer-enrolled', `the agent of slink ${slink} is ${short(pin.fingerprint)}`, {
      slink,
      fingerprint: pin.fingerprint,
    })
  }

  /**
   * Takes agents that dial, at a tls:// address. `dialsIn`: the slinks whose agents may. Each is judged by the key that is
   * pinned for its slink, and its connection is offered to that slink alone.
   */
  async listen(address: string, dialsIn: () => readonly number[], agents: DialIn): Promise<Listener> {
    const { clock, identity, event } = this.#parts
    const slinkOf = (keys: readonly string[]): number | undefined =>
      dialsIn().find((slink) => judgePin(this.pins, slink, keys).kind === 'known')
    this.#listening = new TlsTransport({
      clock,
      identity: () => identity.current,
      judge: async ({ keys }) => {
        const slink = slinkOf(keys)
        if (slink !== undefined) return this.#judge(slink, keys)
        return { kind: 'refused', verdict: 'unknown', why: 'its key is not pinned for a slink whose agent dials' }
      },
      acceptFailed: (error) => {
        if (clock.nowMs() - this.#troubledMs < REFUSAL_EVENT_MS) return
        this.#troubledMs = clock.nowMs()
        event({
          kind: 'listener-failed',
          level: 'warning',
          message: `agents are still waited for, but one that dialled could not be taken: ${error.message}`,
          facts: { why: error.message },
        })
      },
      refused: ({ remote, key, why }) => {
        // Strangers cannot flood the events.
        if (clock.nowMs() - this.#refusedMs < REFUSAL_EVENT_MS) return
        this.#refusedMs = clock.nowMs()
        event({
          kind: 'peer-refused',
          level: 'warning',
          message: `an agent from ${remote} was refused: ${why}`,
          facts: { remote, fingerprint: key },
        })
      },
    })
    return this.#listening.listen(address, (connection, { keys }) => {
      const slink = slinkOf(keys)
      if (slink === undefined) connection.destroy()
      else agents.offer(slink, connection)
    })
  }

  /** Ends every connection with the agent of a slink, whoever dialled. */
  #endAll(slink: number, before: Pin | null, why: string): void {
    this.#transports.get(slink)?.endAll(why)
    if (before !== null) this.#listening?.endPeer(before.fingerprint, why)
  }

  /** Takes the pin of a slink away, durably, and ends its connection. */
  async revoke(slink: number): Promise<Pin> {
    const pin = await this.forget(slink)
    if (pin === null) throw primaryErrors.create('PEER_UNKNOWN', { slink })
    this.#event('peer-revoked', `the agent of slink ${slink}, ${short(pin.fingerprint)}, is not trusted any more`, {
      slink,
      fingerprint: pin.fingerprint,
    })
    return pin
  }

  /** A slink is gone, and whom it trusted with it: answers that. */
  async forget(slink: number): Promise<Pin | null> {
    let before: Pin | null = null
    if (pinOf(this.pins, slink) !== null)
      await this.#parts.pins.update((current) => {
        before = pinOf(current, slink)
        return withoutPin(current, slink)
      })
    this.#endAll(slink, before, 'its identity is not trusted any more')
    return before
  }

  /** Another key for this side; sessions begin anew, so that agents meet it while both sides know each other. */
  async rotate(): Promise<{ readonly fingerprint: string }> {
    const { fingerprint } = await this.#parts.identity.rotate()
    this.#event('identity-rotated', `the identity of this side is ${short(fingerprint)} now`, { fingerprint })
    const why = 'the identity of this side was rotated'
    for (const transports of this.#transports.values()) transports.endAll(why)
    this.#listening?.endAll(why)
    return { fingerprint }
  }

  async #judge(slink: number, keys: readonly string[]): Promise<Judgement> {
    const { pins } = this.#parts
    const judged = judgePin(pins.current, slink, keys)
    const before = pinOf(pins.current, slink)
    if (judged.kind === 'refused') return { ...judged, verdict: 'unknown' }
    if (!judged.moves || before === null) return { kind: 'known' }
    const key = keys[0] as string
    await pins.update((current) => movedPin(current, slink, before.fingerprint, key))
    const after = judgePin(pins.current, slink, keys)
    if (after.kind === 'refused') return { ...after, verdict: 'unknown' }
    this.#event('peer-rotated', `the agent of slink ${slink} has another key now: ${short(key)}`, {
      slink,
      fingerprint: key,
      before: before.fingerprint,
    })
    return { kind: 'known' }
  }

  #event(kind: string, message: string, facts: Record<string, string | number>): void {
    this.#parts.event({ kind, level: 'info', message, facts })
  }
}
