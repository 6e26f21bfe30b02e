/**
 * A network in memory: hosts, links between them, and the faults that real ones have. For tests and the simulator.
 *
 * Owns every connection of the network. Which faults a system above must survive: delay and jitter, little bandwidth,
 * bytes cut anew at any place, bits that flip, connections that break at any moment with bytes lost on the way, dials
 * that are refused or never answered, and silence in one direction only, where neither data nor the end of a connection
 * arrives (a half-open peer) until it is lifted. What never happens here, as in TCP: bytes that arrive twice, out of
 * order, or after a gap. Deterministic: the clock and the random source are passed in, and nothing else decides.
 *
 *   const network = new MemoryNetwork({ clock, random })
 *   const agent = network.host('agent')      await agent.listen('memory:agent', accept)
 *   const primary = network.host('primary')  await primary.dial('memory:agent', { timeoutMs: 1000 })
 *   network.setLink('primary', 'agent', { silent: true })
 */
import { assert } from '../entry/assert.js'
import type { Clock, Random } from '../entry/clock.js'
import { ProtocolError } from '../errors.js'
import { formatAddress, parseAddress } from './address.js'
import { MemoryPipe, PERFECT_LINK, type LinkConditions } from './memory-pipe.js'
import type { Connection, ConnectionHandler, DialOptions, Listener, Transport } from './transport.js'

export interface MemoryNetworkOptions {
  readonly clock: Clock
  readonly random: Random
  /** Conditions of every link until {@link MemoryNetwork.setLink} says otherwise. */
  readonly link?: Partial<LinkConditions>
}

interface Bound {
  readonly host: string
  readonly accepted: (connection: Connection) => void
}

/** See the file's head. */
export class MemoryNetwork {
  readonly clock: Clock
  readonly random: Random
  readonly #default: LinkConditions
  readonly #links = new Map<string, LinkConditions>()
  readonly #bound = new Map<string, Bound>()
  readonly #wires = new Set<Wire>()

  constructor(options: MemoryNetworkOptions) {
    this.clock = options.clock
    this.random = options.random
    this.#default = { ...PERFECT_LINK, ...options.link }
  }

  /** The transport of one host. Hosts need no more than a name; the same name is the same host. */
  host(name: string): Transport {
    return {
      scheme: 'memory',
      dial: (address, options) => this.#dial(name, address, options),
      listen: (address, accepted) => this.#listen(name, address, accepted),
    }
  }

  /** Connections that have not ended at both ends. */
  get connectionCount(): number {
    return this.#wires.size
  }

  /** Conditions of the direction from one host to another. */
  link(from: string, to: string): LinkConditions {
    return this.#links.get(linkKey(from, to)) ?? this.#default
  }

  /** Changes conditions of the direction from one host to another; what is not named stays. */
  setLink(from: string, to: string, change: Partial<LinkConditions>): void {
    const conditions = { ...this.link(from, to), ...change }
    assert(
      conditions.segmentBytesMin >= 1 && conditions.segmentBytesMax >= conditions.segmentBytesMin,
      'a segment has bytes',
    )
    this.#links.set(linkKey(from, to), conditions)
    for (const wire of this.#wires) wire.setConditions(from, to, conditions)
  }

  /** Silences both directions between two hosts, or lifts that. */
  partition(a: string, b: string, silent = true): void {
    this.setLink(a, b, { silent })
    this.setLink(b, a, { silent })
  }

  /** Flips one bit in each of the next `count` segments from one host to another, on every connection between them. */
  flipNext(from: string, to: string, count = 1): void {
    for (const wire of this.#wires) wire.flipNext(from, to, count)
  }

  /** Breaks all connections between two hosts now: both ends learn of it soon, bytes on the way are lost. */
  cut(a: string, b: string): void {
    for (const wire of [...this.#wires]) if (wire.joins(a, b)) wire.cut()
  }

  /**
   * A host's process dies: its listeners are gone, its connections end, and nothing of it is called any more. Peers see
   * a break, or nothing at all while the link to them is silent.
   */
  crash(host: string): void {
    for (const [name, bound] of this.#bound) if (bound.host === host) this.#bound.delete(name)
    for (const wire of [...this.#wires]) wire.crash(host)
  }

  async #dial(from: string, address: string, options: DialOptions): Promise<Connection> {
    const name = nameOf(address)
    const { timeoutMs, signal } = options
    if (signal?.aborted === true) throw new ProtocolError('DIAL_ABORTED', { address })
    return new Promise((resolve, reject) => {
      const end = (error: ProtocolError): void => {
        settle()
        reject(error)
      }
      const settle = (): void => {
        settled = true
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
      }
      let settled = false
      const onAbort = (): void => end(new ProtocolError('DIAL_ABORTED', { address }))
      const timer = this.clock.after(timeoutMs, () => end(new ProtocolError('DIAL_TIMEOUT', { address, timeoutMs })))
      signal?.addEventListener('abort', onAbort, { once: true })
      const answer = (): void => {
        if (settled) return
        const bound = this.#bound.get(name)
        const to = bound?.host ?? name
        // A silent link, either way, answers nothing: only the time-out ends the wait.
        if (this.link(from, to).silent || this.link(to, from).silent) return
        if (bound === undefined) return end(new ProtocolError('DIAL_REFUSED', { address }))
        settle()
        const wire = new Wire(this, from, bound.host, () => this.#wires.delete(wire))
        this.#wires.add(wire)
        bound.accepted(wire.accepted)
        resolve(wire.dialed)
      }
      const to = this.#bound.get(name)?.host ?? name
      const waitMs = this.link(from, to).latencyMs + this.link(to, from).latencyMs
      if (waitMs > 0) this.clock.after(waitMs, answer)
      else this.clock.soon(answer)
    })
  }

  async #listen(host: string, address: string, accepted: (connection: Connection) => void): Promise<Listener> {
    const name = nameOf(address)
    if (this.#bound.has(name)) throw new ProtocolError('LISTEN_IN_USE', { address })
    const bound: Bound = { host, accepted }
    this.#bound.set(name, bound)
    return {
      address: formatAddress({ scheme: 'memory', name }),
      close: async () => {
        if (this.#bound.get(name) === bound) this.#bound.delete(name)
      },
    }
  }
}

/** Two pipes and two ends. */
class Wire {
  readonly dialed: MemoryConnection
  readonly accepted: MemoryConnection
  readonly #from: string
  readonly #to: string
  readonly #there: MemoryPipe
  readonly #back: MemoryPipe

  constructor(network: MemoryNetwork, from: string, to: string, gone: () => void) {
    this.#from = from
    this.#to = to
    const ended = (): void => {
      if (this.dialed.isOver && this.accepted.isOver) gone()
    }
    this.dialed = new MemoryConnection(`memory ${from} to ${to}`, network.clock, ended)
    this.accepted = new MemoryConnection(`memory ${to} from ${from}`, network.clock, ended)
    this.#there = new MemoryPipe(
      network.clock,
      network.random,
      network.link(from, to),
      pipeEnds(this.dialed, this.accepted),
    )
    this.#back = new MemoryPipe(
      network.clock,
      network.random,
      network.link(to, from),
      pipeEnds(this.accepted, this.dialed),
    )
    this.dialed.join(this.#there, this.#back)
    this.accepted.join(this.#back, this.#there)
  }

  joins(a: string, b: string): boolean {
    return (this.#from === a && this.#to === b) || (this.#from === b && this.#to === a)
  }

  setConditions(from: string, to: string, conditions: LinkConditions): void {
    if (from === this.#from && to === this.#to) this.#there.setConditions(conditions)
    if (from === this.#to && to === this.#from) this.#back.setConditions(conditions)
  }

  flipNext(from: string, to: string, count: number): void {
    if (from === this.#from && to === this.#to) this.#there.flipNext(count)
    else if (from === this.#to && to === this.#from) this.#back.flipNext(count)
  }

  cut(): void {
    for (const end of [this.dialed, this.accepted]) end.breakOff('the link was cut')
  }

  crash(host: string): void {
    if (this.#from === host) this.dialed.abandon()
    if (this.#to === host) this.accepted.abandon()
  }
}

function pipeEnds(writer: MemoryConnection, reader: MemoryConnection): ConstructorParameters<typeof MemoryPipe>[3] {
  return {
    data: (segment) => reader.onData(segment),
    drained: () => writer.onDrained(),
    ended: (reason) => reader.onEnded(reason),
  }
}

/** One end. `over` once `closed` is on its way. */
class MemoryConnection implements Connection {
  readonly #clock: Clock
  readonly #ended: () => void
  #handler: ConnectionHandler | null = null
  #out!: MemoryPipe
  #in!: MemoryPipe
  #paused = false
  #closing = false
  #over = false
  #reason: Error | null = null

  constructor(
    readonly description: string,
    clock: Clock,
    ended: () => void,
  ) {
    this.#clock = clock
    this.#ended = ended
  }

  join(out: MemoryPipe, into: MemoryPipe): void {
    this.#out = out
    this.#in = into
  }

  get isOver(): boolean {
    return this.#over
  }

  get queuedBytes(): number {
    return this.#over ? 0 : this.#out.queuedBytes
  }

  attach(handler: ConnectionHandler): void {
    assert(this.#handler === null, 'a connection is attached once')
    this.#handler = handler
    if (this.#over) this.#tellClosed()
    else if (!this.#paused) this.#in.setReading(true)
  }

  write(chunks: readonly Buffer[]): boolean {
    return this.#closing || this.#over ? false : this.#out.write(chunks)
  }

  pause(): void {
    this.#paused = true
    if (!this.#closing) this.#in.setReading(false)
  }

  resume(): void {
    this.#paused = false
    if (this.#handler !== null) this.#in.setReading(true)
  }

  close(): void {
    if (this.#closing || this.#over) return
    this.#closing = true
    this.#out.end(null, false)
    this.#in.setReading(true) // What still comes is thrown away; the peer's own end is waited for.
  }

  destroy(reason?: Error): void {
    if (this.#over) return
    this.#out.end(lost(this.description, 'the peer broke it off'), true)
    this.#finish(reason ?? null)
  }

  /** The process of this end is gone: the peer learns of it as of a break, this end of nothing. */
  abandon(): void {
    if (this.#over) return
    this.#handler = null
    this.destroy()
  }

  /** The network breaks both directions. */
  breakOff(why: string): void {
    if (this.#over) return
    this.#out.kill()
    this.#finish(this.#closing ? null : lost(this.description, why))
  }

  onData(segment: Buffer): void {
    if (!this.#closing && !this.#over) this.#handler?.data(segment)
  }

  onDrained(): void {
    if (!this.#closing && !this.#over) this.#handler?.drained()
  }

  onEnded(reason: Error | null): void {
    if (this.#over) return
    if (reason !== null) this.#out.kill()
    // The peer is done: we close too, after what is still queued; that the peer throws away, so that nobody waits for it.
    else this.#out.end(null, true)
    this.#finish(this.#closing ? null : reason)
  }

  #finish(reason: Error | null): void {
    this.#over = true
    this.#closing = true
    this.#reason = reason
    this.#in.kill()
    this.#ended()
    this.#tellClosed()
  }

  #tellClosed(): void {
    const handler = this.#handler
    if (handler !== null) this.#clock.soon(() => handler.closed(this.#reason))
  }
}

function lost(connection: string, why: string): ProtocolError {
  return new ProtocolError('CONNECTION_LOST', { connection, why })
}

function linkKey(from: string, to: string): string {
  return `${from}\u0000${to}`
}

function nameOf(address: string): string {
  const parsed = parseAddress(address)
  if (!('name' in parsed))
    throw new ProtocolError('ADDRESS_INVALID', { address, why: 'a name as in memory:name is needed' })
  return parsed.name
}
