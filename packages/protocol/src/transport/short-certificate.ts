/**
 * The certificates of a WebTransport listener: at most 14 days old, because clients take no older ones by their hash.
 *
 * Owns when the next one is due, and which hashes are of this listener: the present one, and those before it that still
 * count, so that whoever has just met the one before is not turned away. Keys are made by whom it is given; it stores
 * nothing. Who is behind a certificate is proven on every connection (proof-words.ts).
 */
import { X509Certificate } from 'node:crypto'
import type { Clock, Timer } from '../entry/clock.js'
import { hashOf } from './webtransport-library.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** From one hour ago, for clocks that are behind, to 13 days from now: below the 14 that are allowed. */
const BEFORE_MS = HOUR_MS
const AFTER_MS = 13 * DAY_MS
/** The next one comes so early that a peer whose clock is days ahead can still connect. */
export const RENEW_MS = 6 * DAY_MS

/** PEM. */
export interface ShortCertificate {
  readonly key: string
  readonly certificate: string
}

/** Makes a self-signed certificate with a new key on P-256. Wall clock, in milliseconds since 1970. */
export type MakeCertificate = (notBeforeMs: number, notAfterMs: number) => Promise<ShortCertificate>

/** See the file's head. */
export class ShortCertificates {
  readonly #clock: Clock
  readonly #make: MakeCertificate
  readonly #hashes = new Map<string, number>()
  readonly #watching: ((next: ShortCertificate) => void)[] = []
  #current: ShortCertificate | null = null
  #timer: Timer | null = null
  #closed = false

  constructor(clock: Clock, make: MakeCertificate) {
    this.#clock = clock
    this.#make = make
  }

  /** The first one; `renewed` gets each that follows, and `failed` hears where one cannot be made: it is tried again. */
  async begin(renewed: (next: ShortCertificate) => void, failed: (error: unknown) => void): Promise<ShortCertificate> {
    const first = await this.#next()
    const renew = (afterMs: number): void => {
      if (this.#closed) return
      this.#timer = this.#clock.after(afterMs, () => {
        this.#next().then(
          (next) => {
            if (this.#closed) return
            renewed(next)
            for (const watch of this.#watching) watch(next)
            renew(RENEW_MS)
          },
          (error: unknown) => {
            failed(error)
            renew(HOUR_MS)
          },
        )
      })
    }
    renew(RENEW_MS)
    return first
  }

  /** The newest one; null before the first. */
  get current(): ShortCertificate | null {
    return this.#current
  }

  /** Gets each one that follows, behind whoever began. */
  watch(renewed: (next: ShortCertificate) => void): void {
    this.#watching.push(renewed)
  }

  /** Whether this is the hash of a certificate of this listener that still counts. */
  has(hash: string): boolean {
    const untilMs = this.#hashes.get(hash)
    return untilMs !== undefined && this.#nowMs() < untilMs
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  async #next(): Promise<ShortCertificate> {
    const nowMs = this.#nowMs()
    const made = await this.#make(nowMs - BEFORE_MS, nowMs + AFTER_MS)
    for (const [hash, untilMs] of this.#hashes) if (untilMs <= nowMs) this.#hashes.delete(hash)
    this.#hashes.set(hashOf(new X509Certificate(made.certificate).fingerprint256), nowMs + AFTER_MS)
    this.#current = made
    return made
  }

  #nowMs(): number {
    return Math.floor(this.#clock.wallUs() / 1000)
  }
}
