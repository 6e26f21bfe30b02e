/**
 * A UDP proxy between primary and agent that misbehaves on command, as {@link CutProxy} does over TCP.
 *
 * Owns a socket towards whoever dials, and one towards the target for each of his ports. What UDP has not is no fault here:
 * nobody is told of a cut, and a reset is a translation of addresses that has forgotten its mapping. Datagrams arrive whole,
 * in order, and at most once; those beyond what a direction may hold are lost. Invariant: a target never sees two of those
 * who dial as one.
 */
import { createSocket, type Socket } from 'node:dgram'
import type { CutProxyOptions, Direction } from './cut-proxy.js'

/** A queue as routers have it: what a slow link cannot take is lost soon, and does not come late. */
const HELD_BYTES_MAX = 512 * 1024
const SOCKET_BUFFER_BYTES = 2 * 1024 * 1024
/** Every dial asks from a port of its own whether anybody is there. */
const FLOWS_MAX = 64

interface LaneState {
  stalled: boolean
  delayMs: number
  bytesPerSecond: number | null
}

export class UdpProxy {
  readonly #near: Socket
  readonly #options: CutProxyOptions
  /** By the address of the one who dials; oldest first. */
  readonly #flows = new Map<string, Flow>()
  readonly #lanes: Record<Direction, LaneState> = {
    out: { stalled: false, delayMs: 0, bytesPerSecond: null },
    in: { stalled: false, delayMs: 0, bytesPerSecond: null },
  }
  #isCut = false
  #lost = 0

  private constructor(options: CutProxyOptions, near: Socket) {
    this.#options = options
    this.#near = near
    near.on('message', (datagram, { address, port }) => this.#arrived(datagram, address, port))
    near.on('error', () => {})
  }

  static async listen(options: CutProxyOptions): Promise<UdpProxy> {
    const near = createSocket({
      type: 'udp4',
      recvBufferSize: SOCKET_BUFFER_BYTES,
      sendBufferSize: SOCKET_BUFFER_BYTES,
    })
    await new Promise<void>((resolve, reject) => {
      near.once('error', reject)
      near.bind(options.listenPort ?? 0, options.listenHost ?? '127.0.0.1', resolve)
    })
    near.removeAllListeners('error')
    return new UdpProxy(options, near)
  }

  get port(): number {
    return this.#near.address().port
  }

  /** Datagrams from those who dial that met a cut. */
  get lost(): number {
    return this.#lost
  }

  /** Bytes that wait in a direction. */
  heldBytes(direction: Direction): number {
    return [...this.#flows.values()].reduce((sum, flow) => sum + flow.heldBytes(direction), 0)
  }

  /** Nothing passes, and what was on the way is lost, until {@link mend}. Nobody is told. */
  cut(): void {
    this.#isCut = true
    for (const flow of this.#flows.values()) flow.lose()
  }

  mend(): void {
    this.#isCut = false
  }

  /** The target sees everybody under another address from now on. */
  reset(): void {
    for (const flow of this.#flows.values()) flow.rebind()
  }

  /** Whoever has dialled hears nothing any more, and is still heard, until he begins a new connection. */
  halfOpen(): void {
    for (const flow of this.#flows.values()) flow.deaf = true
  }

  /** Lets nothing through in a direction. */
  stall(direction: Direction): void {
    this.#change(direction, { stalled: true })
  }

  /** Undoes {@link stall}; what was held arrives. */
  flow(direction: Direction): void {
    this.#change(direction, { stalled: false })
  }

  /** Holds every datagram of a direction for so long. */
  delay(direction: Direction, delayMs: number): void {
    this.#change(direction, { delayMs })
  }

  /** Limits a direction; null lifts the limit. */
  limit(direction: Direction, bytesPerSecond: number | null): void {
    this.#change(direction, { bytesPerSecond })
  }

  async close(): Promise<void> {
    for (const flow of this.#flows.values()) flow.close()
    this.#flows.clear()
    await new Promise<void>((resolve) => this.#near.close(resolve))
  }

  #change(direction: Direction, change: Partial<LaneState>): void {
    Object.assign(this.#lanes[direction], change)
    for (const flow of this.#flows.values()) flow.wake()
  }

  #arrived(datagram: Buffer, address: string, port: number): void {
    if (this.#isCut) {
      this.#lost++
      return
    }
    const key = `${address}:${port}`
    let flow = this.#flows.get(key)
    if (flow?.deaf === true && beginsConnection(datagram)) {
      // The target goes on with the connection before under an address of its own.
      flow.close()
      this.#flows.delete(key)
      flow = undefined
    }
    if (flow === undefined) {
      flow = new Flow(this.#options, this.#lanes, (back) => {
        if (!this.#isCut) this.#near.send(back, port, address, () => {})
      })
      this.#flows.set(key, flow)
      this.#forgetOldest()
    }
    flow.out(datagram)
  }

  #forgetOldest(): void {
    if (this.#flows.size <= FLOWS_MAX) return
    const [oldest] = this.#flows
    oldest?.[1].close()
    this.#flows.delete(oldest?.[0] ?? '')
  }
}

/** The first packet of a QUIC connection: a long header of type Initial. */
function beginsConnection(datagram: Buffer): boolean {
  return ((datagram[0] ?? 0) & 0xf0) === 0xc0
}

/** One of those who dial. */
class Flow {
  deaf = false
  readonly #out: DatagramLane
  readonly #in: DatagramLane
  #far: Socket

  constructor(
    private readonly target: CutProxyOptions,
    lanes: Record<Direction, LaneState>,
    back: (datagram: Buffer) => void,
  ) {
    this.#far = this.#open()
    this.#out = new DatagramLane(lanes.out, (datagram) =>
      this.#far.send(datagram, target.targetPort, target.targetHost, () => {}),
    )
    this.#in = new DatagramLane(lanes.in, (datagram) => {
      if (!this.deaf) back(datagram)
    })
  }

  out(datagram: Buffer): void {
    this.#out.take(datagram)
  }

  heldBytes(direction: Direction): number {
    return (direction === 'out' ? this.#out : this.#in).heldBytes
  }

  rebind(): void {
    this.#far.close()
    this.#far = this.#open()
  }

  lose(): void {
    this.#out.lose()
    this.#in.lose()
  }

  wake(): void {
    this.#out.pump()
    this.#in.pump()
  }

  close(): void {
    this.lose()
    this.#far.close()
  }

  #open(): Socket {
    const far = createSocket({
      type: 'udp4',
      recvBufferSize: SOCKET_BUFFER_BYTES,
      sendBufferSize: SOCKET_BUFFER_BYTES,
    })
    far.on('error', () => {})
    far.on('message', (datagram, { address, port }) => {
      if (address === this.target.targetHost && port === this.target.targetPort) this.#in.take(datagram)
    })
    far.bind()
    return far
  }
}

/** One direction of a flow. */
class DatagramLane {
  readonly #held: { datagram: Buffer; dueMs: number }[] = []
  #heldBytes = 0
  /** When the limited link is free again. */
  #freeMs = 0
  #timer: NodeJS.Timeout | null = null

  constructor(
    private readonly state: LaneState,
    private readonly pass: (datagram: Buffer) => void,
  ) {}

  get heldBytes(): number {
    return this.#heldBytes
  }

  take(datagram: Buffer): void {
    if (this.#heldBytes + datagram.length > HELD_BYTES_MAX) return
    this.#held.push({ datagram, dueMs: performance.now() + this.state.delayMs })
    this.#heldBytes += datagram.length
    this.pump()
  }

  /** Hands on what may go now, and asks to be called again for the rest. */
  pump(): void {
    this.#stopTimer()
    for (let head = this.#held[0]; head !== undefined && !this.state.stalled; head = this.#held[0]) {
      const nowMs = performance.now()
      const { bytesPerSecond } = this.state
      const waitMs = Math.max(head.dueMs, bytesPerSecond === null ? 0 : this.#freeMs) - nowMs
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), waitMs)
        return
      }
      this.#held.shift()
      this.#heldBytes -= head.datagram.length
      if (bytesPerSecond !== null)
        this.#freeMs = Math.max(this.#freeMs, nowMs) + (head.datagram.length * 1000) / bytesPerSecond
      this.pass(head.datagram)
    }
  }

  lose(): void {
    this.#stopTimer()
    this.#held.length = 0
    this.#heldBytes = 0
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }
}
