/**
 * What stands between primary and agent whatever carries the link: a TCP and a UDP proxy under one port number.
 *
 * Owns both. Every fault acts on both, each in its own way (cut-proxy.ts, udp-proxy.ts), so that whoever makes one need not
 * know what the link goes over.
 */
import { CutProxy, type CutProxyOptions, type Direction } from './cut-proxy.js'
import { UdpProxy } from './udp-proxy.js'

/** A port of TCP whose number another program has over UDP is given back, and another one taken. */
const TRIES = 20

export class LinkProxy {
  private constructor(
    readonly tcp: CutProxy,
    readonly udp: UdpProxy,
  ) {}

  static async listen(options: CutProxyOptions): Promise<LinkProxy> {
    for (let left = TRIES; ; left--) {
      const tcp = await CutProxy.listen(options)
      try {
        return new LinkProxy(tcp, await UdpProxy.listen({ ...options, listenPort: tcp.port }))
      } catch (error) {
        await tcp.close()
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || left <= 1) throw error
      }
    }
  }

  get host(): string {
    return this.tcp.host
  }

  get port(): number {
    return this.tcp.port
  }

  cut(): void {
    for (const each of this.#both) each.cut()
  }

  mend(): void {
    for (const each of this.#both) each.mend()
  }

  reset(): void {
    for (const each of this.#both) each.reset()
  }

  halfOpen(): void {
    for (const each of this.#both) each.halfOpen()
  }

  stall(direction: Direction): void {
    for (const each of this.#both) each.stall(direction)
  }

  flow(direction: Direction): void {
    for (const each of this.#both) each.flow(direction)
  }

  delay(direction: Direction, delayMs: number): void {
    for (const each of this.#both) each.delay(direction, delayMs)
  }

  limit(direction: Direction, bytesPerSecond: number | null): void {
    for (const each of this.#both) each.limit(direction, bytesPerSecond)
  }

  async close(): Promise<void> {
    for (const each of this.#both) await each.close()
  }

  get #both(): readonly [CutProxy, UdpProxy] {
    return [this.tcp, this.udp]
  }
}
