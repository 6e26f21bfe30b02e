/**
 * The gatekeeper: stands between the TLS transport and what an agent knows of its peers.
 *
 * Owns what is done about a judgement: a pin that moves is durable before the peer is let in, an enrolment before it is
 * answered, a revocation ends the peer's connections at once, and the operator gets an event of each. Strangers can
 * neither flood the events nor try many tokens: both are counted, and bounded in time. The rules are trust.ts.
 */
import {
  answerEnrolment,
  type Clock,
  type Connection,
  type EnrolCode,
  type EnrolRequest,
  type Judge,
  type Judgement,
  type Random,
  type ShownPeer,
  type TlsRefusal,
} from '@sitelink/protocol'
import { reason } from '../errors.js'
import type { AgentEventSink } from '../events.js'
import { ENROL_FAILURES_MAX, ENROL_FAILURES_MS, REFUSAL_EVENTS_MAX, REFUSAL_EVENTS_MS } from '../limits.js'
import { Allowance } from './allowance.js'
import {
  enrolPeer,
  judgePeer,
  short,
  withoutPeer,
  withSuccessor,
  type AgentTrust,
  type EnrolOutcome,
  type TrustedPeer,
} from './trust.js'

/** Where the trust is kept: `update` is atomic, durable on return, one at a time. */
export interface TrustStore {
  readonly current: AgentTrust
  update(change: (current: AgentTrust) => AgentTrust): Promise<AgentTrust>
}

export interface GatekeeperParts {
  readonly clock: Clock
  readonly random: Random
  readonly trust: TrustStore
  /** Fingerprint of this side. */
  readonly own: () => string
  readonly event: AgentEventSink
  /** Ends every connection with this key. */
  readonly endPeer: (fingerprint: string, why: string) => number
}

/** See the head of this file. */
export class Gatekeeper {
  readonly #parts: GatekeeperParts
  readonly #failures: Allowance
  readonly #refusals: Allowance

  constructor(parts: GatekeeperParts) {
    this.#parts = parts
    this.#failures = new Allowance(parts.clock, ENROL_FAILURES_MAX, ENROL_FAILURES_MS)
    this.#refusals = new Allowance(parts.clock, REFUSAL_EVENTS_MAX, REFUSAL_EVENTS_MS)
  }

  /** Judges who wants a session. */
  readonly judge: Judge = async ({ keys, remote }): Promise<Judgement> => {
    const { trust } = this.#parts
    const judged = judgePeer(trust.current, keys, 'replicate')
    if (judged.kind === 'refused' || judged.before === null) return judged
    const [key] = keys as readonly [string]
    const { before } = judged
    const after = judgePeer(await trust.update((current) => withSuccessor(current, before, key)), keys, 'replicate')
    if (after.kind === 'refused') return after
    this.#event('info', 'peer-rotated', `${judged.peer.name} (${remote}) has another key now: ${short(key)}`, {
      peer: judged.peer.name,
      fingerprint: key,
      before,
    })
    this.#parts.endPeer(before, 'another key took its place')
    return after
  }

  /** Takes the one request of a connection that came to enrol. */
  readonly enrol = (connection: Connection, peer: ShownPeer): void => {
    const { clock } = this.#parts
    void answerEnrolment(connection, clock, (request) => this.#decide(request, peer)).catch((error: unknown) => {
      connection.destroy()
      this.refused({ remote: peer.remote, key: peer.keys[0] ?? null, why: reason(error) })
    })
  }

  /** Somebody was turned away before anything was heard of it. */
  readonly refused = ({ remote, key, why }: TlsRefusal): void => {
    this.#refusal('peer-refused', `a connection from ${remote} was refused: ${why}`, {
      remote,
      fingerprint: key,
      why,
    })
  }

  /** Takes the trust in a peer away, durably, and ends its connections. */
  async revoke(word: string): Promise<TrustedPeer> {
    const { trust, clock, endPeer } = this.#parts
    let revoked: TrustedPeer | null = null
    await trust.update((current) => {
      const next = withoutPeer(current, word, nowMs(clock))
      revoked = next.peer
      return next.trust
    })
    const peer = revoked as unknown as TrustedPeer
    const ended = endPeer(peer.fingerprint, `${peer.name} was revoked`)
    this.#event('info', 'peer-revoked', `${peer.name} was revoked; ${ended} of its connections ended`, {
      peer: peer.name,
      fingerprint: peer.fingerprint,
      ended,
    })
    return peer
  }

  async #decide(
    request: EnrolRequest,
    { keys, remote }: ShownPeer,
  ): Promise<{ readonly code: EnrolCode; readonly proof: Buffer | null }> {
    const { trust, clock, own } = this.#parts
    const [key] = keys
    const refuse = (code: Exclude<EnrolCode, 'enrolled'>, why: string): { code: EnrolCode; proof: null } => {
      if (code !== 'busy') this.#failures.take()
      this.#refusal('enrolment-refused', `an enrolment from ${remote} was refused: ${why}`, {
        remote,
        fingerprint: key ?? null,
        code,
      })
      return { code, proof: null }
    }
    if (key === undefined) return refuse('unknown', 'it showed no certificate')
    if (!this.#failures.left) return refuse('busy', 'too many others were refused in a short time')
    const pair = { primary: key, agent: own() }
    const decide = (current: AgentTrust): EnrolOutcome => enrolPeer(current, request, pair, nowMs(clock))
    // Nothing is written for a request that is no good.
    let decided = decide(trust.current)
    if (decided.kind === 'enrolled') {
      try {
        await trust.update((current) => {
          decided = decide(current)
          return decided.kind === 'enrolled' ? decided.trust : { ...current }
        })
      } catch (error) {
        return refuse('failed', `it could not be stored: ${reason(error)}`)
      }
    }
    if (decided.kind === 'refused') return refuse(decided.code, ENROLMENT_WHY[decided.code])
    const { peer, proof } = decided
    this.#event('info', 'peer-enrolled', `${peer.name} (${remote}) was enrolled and may ${peer.rights.join(', ')}`, {
      peer: peer.name,
      fingerprint: key,
      rights: peer.rights.join(' '),
    })
    return { code: 'enrolled', proof }
  }

  /** An event that a stranger causes. */
  #refusal(kind: 'peer-refused' | 'enrolment-refused', message: string, facts: Facts): void {
    const unsaid = this.#refusals.unsaid
    // A peer that dials on and on is told of once in a window.
    if (!this.#refusals.take(`${kind} ${facts['fingerprint'] ?? ''} ${facts['why'] ?? facts['code'] ?? ''}`)) return
    this.#event('warn', kind, unsaid === 0 ? message : `${message} (and ${unsaid} more were, before it)`, {
      ...facts,
      unsaid,
    })
  }

  #event(
    level: 'info' | 'warn',
    kind: 'peer-refused' | 'enrolment-refused' | 'peer-rotated' | 'peer-revoked' | 'peer-enrolled',
    message: string,
    facts: Facts,
  ): void {
    this.#parts.event({ level, kind, message, facts })
  }
}

type Facts = Readonly<Record<string, string | number | null>>

const ENROLMENT_WHY: Readonly<Record<Exclude<EnrolCode, 'enrolled'>, string>> = {
  unknown: 'nobody was invited with this token',
  used: 'its token was used already',
  expired: 'its token has expired',
  busy: 'too many others were refused in a short time',
  full: 'there are as many peers as there can be',
  failed: 'it could not be stored',
}

/** Wall clock in milliseconds since 1970. */
export function nowMs(clock: Clock): number {
  return Math.floor(clock.wallUs() / 1000)
}
