/**
 * A TCP proxy between primary and agent that misbehaves on command.
 *
 * Faults that Sitelink must survive: a cut with whatever is on the way lost, a peer that cannot be reached, silence in
 * one direction or both while the connection stands (nothing is lost, nothing arrives), a connection that only one end
 * knows to be over, delay, and a slow link. Bytes that do arrive are the right ones in the right order. Memory is bounded: a direction that holds too much stops reading.
 */
import { createServer, connect, type Server, type Socket } from 'node:net'

const HELD_BYTES_MAX = 4 * 1024 * 1024

/** Seen from the one that dials: `out` runs to the target, `in` comes back. */
export type Direction = 'out' | 'in'

export interface CutProxyOptions {
  readonly listenHost?: string
  readonly listenPort?: number
  readonly targetHost: string
  readonly targetPort: number
}

interface LaneState {
  stalled: boolean
  delayMs: number
  bytesPerSecond: number | null
}

export class CutProxy {
  readonly #server: Server
  readonly #options: CutProxyOptions
  readonly #pairs = new Set<Pair>()
  readonly #lanes: Record<Direction, LaneState> = {
    out: { stalled: false, delayMs: 0, bytesPerSecond: null },
    in: { stalled: false, delayMs: 0, bytesPerSecond: null },
  }
  #isCut = false
  #accepted = 0
  #bytes: Record<Direction, number> = { out: 0, in: 0 }
  #watcher: ((chunk: Buffer, direction: Direction) => void) | null = null

  private constructor(options: CutProxyOptions) {
    this.#options = options
    this.#server = createServer((socket) => this.#accept(socket))
  }

  static async listen(options: CutProxyOptions): Promise<CutProxy> {
    const proxy = new CutProxy(options)
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject)
      proxy.#server.listen(options.listenPort ?? 0, options.listenHost ?? '127.0.0.1', resolve)
    })
    return proxy
  }

  get host(): string {
    return this.#options.listenHost ?? '127.0.0.1'
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** Connections that were let through, ever. */
  get accepted(): number {
    return this.#accepted
  }

  /** Bytes that were handed on in a direction, ever. */
  bytesPassed(direction: Direction): number {
    return this.#bytes[direction]
  }

  /** Shows every chunk that is handed on, in either direction, from now on; null ends it. */
  watch(watcher: ((chunk: Buffer, direction: Direction) => void) | null): void {
    this.#watcher = watcher
  }

  /** Ends every connection, and each new one at once, until {@link mend}. */
  cut(): void {
    this.#isCut = true
    for (const pair of this.#pairs) pair.end()
  }

  /** Lets connections through again. */
  mend(): void {
    this.#isCut = false
  }

  /** Ends every connection; new ones are let through. */
  reset(): void {
    for (const pair of this.#pairs) pair.end()
  }

  /** Ends every connection for the one that dialed; the target is not told, and what it sends goes nowhere. */
  halfOpen(): void {
    for (const pair of this.#pairs) pair.endNear()
  }

  /** Lets nothing through in a direction; connections stand. */
  stall(direction: Direction): void {
    this.#change(direction, { stalled: true })
  }

  /** Undoes {@link stall}; what was held arrives. */
  flow(direction: Direction): void {
    this.#change(direction, { stalled: false })
  }

  /** Holds every byte of a direction for so long. */
  delay(direction: Direction, delayMs: number): void {
    this.#change(direction, { delayMs })
  }

  /** Limits a direction; null lifts the limit. */
  limit(direction: Direction, bytesPerSecond: number | null): void {
    this.#change(direction, { bytesPerSecond })
  }

  async close(): Promise<void> {
    this.reset()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #change(direction: Direction, change: Partial<LaneState>): void {
    Object.assign(this.#lanes[direction], change)
    for (const pair of this.#pairs) pair.wake()
  }

  #accept(near: Socket): void {
    if (this.#isCut) {
      near.destroy()
      return
    }
    this.#accepted++
    const far = connect({ host: this.#options.targetHost, port: this.#options.targetPort })
    const count = (direction: Direction, chunk: Buffer): void => {
      this.#bytes[direction] += chunk.length
      this.#watcher?.(chunk, direction)
    }
    const pair = new Pair(
      new Lane(near, far, this.#lanes.out, (chunk) => count('out', chunk)),
      new Lane(far, near, this.#lanes.in, (chunk) => count('in', chunk)),
      () => this.#pairs.delete(pair),
    )
    this.#pairs.add(pair)
  }
}

/** One proxied connection. */
class Pair {
  readonly #out: Lane
  readonly #in: Lane
  readonly #gone: () => void
  #nearEnded = false

  constructor(out: Lane, back: Lane, gone: () => void) {
    this.#out = out
    this.#in = back
    this.#gone = gone
    for (const socket of [out.from, out.to]) {
      const over = (): void => {
        if (socket === out.to || !this.#nearEnded) this.end()
      }
      socket.setNoDelay(true)
      socket.on('error', over)
      socket.on('close', over)
    }
  }

  /** The near end is gone; the far one goes on as if nothing had happened, and is heard by nobody. */
  endNear(): void {
    this.#nearEnded = true
    this.#out.stop()
    this.#in.stop()
    this.#out.from.destroy()
    this.#out.to.removeAllListeners('data')
    this.#out.to.resume()
  }

  wake(): void {
    this.#out.pump()
    this.#in.pump()
  }

  end(): void {
    this.#out.stop()
    this.#in.stop()
    this.#out.from.destroy()
    this.#out.to.destroy()
    this.#gone()
  }
}

/** One direction of a proxied connection. */
class Lane {
  readonly #held: { chunk: Buffer; dueMs: number }[] = []
  #heldBytes = 0
  /** When the limited link is free again. */
  #freeMs = 0
  #ended = false
  #timer: NodeJS.Timeout | null = null

  constructor(
    readonly from: Socket,
    readonly to: Socket,
    private readonly state: LaneState,
    private readonly passed: (chunk: Buffer) => void,
  ) {
    from.on('data', (chunk: Buffer) => {
      this.#held.push({ chunk, dueMs: performance.now() + this.state.delayMs })
      this.#heldBytes += chunk.length
      if (this.#heldBytes > HELD_BYTES_MAX) from.pause()
      this.pump()
    })
    from.on('end', () => {
      this.#ended = true
      this.pump()
    })
    to.on('drain', () => this.pump())
  }

  /** Hands on what may go now, and asks to be called again for the rest. */
  pump(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    for (let head = this.#held[0]; head !== undefined; head = this.#held[0]) {
      if (this.state.stalled || this.to.writableNeedDrain) return
      const nowMs = performance.now()
      const waitMs = Math.max(head.dueMs - nowMs, this.state.bytesPerSecond === null ? 0 : this.#freeMs - nowMs)
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), waitMs)
        return
      }
      this.#held.shift()
      this.#heldBytes -= head.chunk.length
      if (this.state.bytesPerSecond !== null) {
        this.#freeMs = Math.max(this.#freeMs, nowMs) + (head.chunk.length * 1000) / this.state.bytesPerSecond
      }
      this.passed(head.chunk)
      this.to.write(head.chunk)
    }
    if (this.#heldBytes <= HELD_BYTES_MAX && this.from.isPaused()) this.from.resume()
    if (this.#ended) this.to.end()
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#held.length = 0
  }
}
