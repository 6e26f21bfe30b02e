/**
 * From channels between strangers to connections between peers, for every transport whose channels do not know our
 * identities: QUIC, WebTransport.
 *
 * Owns which connections stand and behind whose keys, and who may wait to be known (tls-waiting-room.ts). Every channel,
 * dialled or accepted, is proven and judged before one byte of it reaches anybody (proof-gate.ts). Channels are opened,
 * and named, by the transport.
 */
import type { Random } from '../entry/clock.js'
import type { Attempt } from './attempt.js'
import type { KeyedOptions } from './keyed.js'
import { letIn, proveAsDialler, proveAsListener, turnAway, type Channel } from './proof-gate.js'
import { NONCE_BYTES } from './proof-words.js'
import { PulledConnection } from './pulled-connection.js'
import { StandingConnections } from './standing.js'
import type { ShownPeer } from './tls-gate.js'
import { TlsWaitingRoom } from './tls-waiting-room.js'
import type { Purpose } from './tls-words.js'
import type { Connection } from './transport.js'

export interface ProvenOptions extends KeyedOptions {
  readonly random: Random
}

/** See the file's head. */
export class ProvenLinks {
  readonly #options: ProvenOptions
  readonly #scheme: string
  readonly #standing = new StandingConnections()
  readonly #waiting: TlsWaitingRoom
  #received = 0

  constructor(scheme: string, options: ProvenOptions) {
    this.#scheme = scheme
    this.#options = options
    this.#waiting = new TlsWaitingRoom(options.clock, options.refused ?? (() => {}))
  }

  endPeer(key: string, why: string): number {
    return this.#standing.endPeer(key, why)
  }

  endAll(why: string): number {
    return this.#standing.endAll(why)
  }

  /** Makes a connection of a channel that was dialled; how it fails is told to `on`, whose tear-down ends the channel. */
  async dialled(
    channel: Channel,
    purpose: Purpose,
    address: string,
    on: Attempt,
  ): Promise<{ readonly connection: Connection; readonly peer: ShownPeer }> {
    const { judge, random } = this.#options
    const parts = { identity: this.#options.identity(), judge, nonce: random.bytes(NONCE_BYTES) }
    let standing: Standing | null = null
    const known = (peer: ShownPeer): void => void (standing = this.#stands(channel, peer))
    try {
      const { peer, ahead } = await proveAsDialler(channel, purpose, address, on, parts, known)
      return { connection: (standing as unknown as Standing).with(ahead), peer }
    } catch (error) {
      ;(standing as Standing | null)?.gone()
      throw error
    }
  }

  /** Takes a channel of a stranger. `accepted` gets it once it is a peer's that came for a session. */
  async received(channel: Channel, accepted: (connection: Connection) => void): Promise<void> {
    const { stream, remote } = channel
    const { judge, random, enrol } = this.#options
    const name = `${(this.#received += 1)} ${remote}`
    this.#waiting.enter(name, remote, () => stream.destroy())
    const parts = { identity: this.#options.identity(), judge, nonce: random.bytes(NONCE_BYTES) }
    const received = await proveAsListener(channel, parts)
    if (!this.#waiting.has(name)) return stream.destroy()
    if (received.kind === 'gone') return this.#waiting.refuse(name, received.key, received.why)
    if (received.kind === 'refused') {
      this.#waiting.tell(name, received.key, received.why)
      await turnAway(stream, received.verdict)
      this.#waiting.leave(name)
      return stream.destroy()
    }
    const { peer, reader } = received
    if (peer.purpose === 'enrol' && enrol === undefined)
      return this.#waiting.refuse(name, peer.keys[0] ?? null, 'nobody can enrol here')
    // It stands from here on: a peer that is revoked in the next moment is ended as well.
    const standing = this.#stands(channel, peer)
    const ahead = await letIn(stream, reader)
    const waited = this.#waiting.has(name)
    if (!waited || ahead === null) {
      if (waited) this.#waiting.refuse(name, peer.keys[0] ?? null, 'it went away before it had heard that it is known')
      return standing.gone()
    }
    // Who enrols has proven nothing yet that counts: it is one of those who wait until it is gone.
    const isPeer = peer.purpose === 'session'
    if (isPeer) this.#waiting.leave(name)
    const connection = standing.with(ahead, () => this.#waiting.leave(name))
    if (isPeer) accepted(connection)
    else enrol?.(connection, peer)
  }

  /** A channel stopped at the door, before anything was heard of it. */
  refuse(remote: string, why: string): void {
    this.#options.refused?.({ remote, key: null, why })
  }

  /** A peer's channel stands, first as what can only be ended, then as a connection. */
  #stands({ stream, remote }: Channel, { keys }: ShownPeer): Standing {
    const description = `${this.#scheme} ${remote}`
    let connection: Connection | null = null
    let reason: Error | undefined
    let endedBefore = false
    const stub = {
      description,
      destroy: (why?: Error): void => {
        if (connection !== null) return connection.destroy(why)
        endedBefore = true
        reason = why
        stream.destroy()
      },
    }
    const gone = this.#standing.add(stub, keys)
    return {
      gone: () => {
        gone()
        stream.destroy()
      },
      with: (ahead, over = () => {}) => {
        const ended = (): void => {
          gone()
          over()
        }
        connection = new PulledConnection(stream, { description, ahead, ended })
        if (endedBefore) connection.destroy(reason)
        return connection
      },
    }
  }
}

interface Standing {
  /** It is over without having been a connection. */
  gone(): void
  /** `over` is called once it is. */
  with(ahead: Buffer, over?: () => void): Connection
}
