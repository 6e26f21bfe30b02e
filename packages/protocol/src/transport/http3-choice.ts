/**
 * Whether a dial of `https://` goes over HTTP/3: tried first where it is wanted and can be had, and given up in time.
 *
 * Owns which addresses did not work over it a moment ago: `auto` does not wait for them at every dial. Those that did work
 * are waited for a little: a listener begins anew with each certificate. `require` tries always, and fails where it does
 * not come about. Invariant: who proves the wrong identity over HTTP/3 is refused, and not
 * asked again over HTTP/2; and HTTP/2 is used only by `auto` and `never`, with a reason.
 */
import type { Clock } from '../entry/clock.js'
import { isIdentityRefusal, ProtocolError, reasonOf } from '../errors.js'
import type { CreditedStream } from './credited-stream.js'
import { dialHttp3, type Http3DialParts } from './http3-dial.js'
import { findHttp3, type Http3Library, type LoadHttp3 } from './http3-library.js'
import { NOT_ASKED_FOR, type QuicMode } from './quic-mode.js'

/** An address that did not work over HTTP/3 is reached over HTTP/2 for so long. */
export const HTTP3_RETRY_MS = 60_000
/** An address that was reached over HTTP/3 is given up over it only after so long: a dial has the time for HTTP/2 behind it. */
export const HTTP3_PATIENCE_MS = 2000
/** So many of them are kept in mind. */
const ADDRESSES_MAX = 64

/** The library, or why HTTP/3 is not tried. */
export type Http3Wish =
  | { readonly kind: 'try'; readonly library: Http3Library; readonly mode: QuicMode }
  | { readonly kind: 'not'; readonly why: string }

/** The stream, or why there is none. */
export type Http3Choice =
  | { readonly kind: 'open'; readonly stream: CreditedStream }
  /** It was there a moment ago: to be tried again, with the hash that is shown by then. */
  | { readonly kind: 'again' }
  | { readonly kind: 'not'; readonly why: string }

/** See the file's head. */
export class Http3Choices {
  readonly #clock: Clock
  readonly #load: LoadHttp3 | undefined
  readonly #failed = new Map<string, { readonly untilMs: number; readonly why: string }>()
  /** Addresses that were reached over HTTP/3, and since when they are not; null: they are. */
  readonly #worked = new Map<string, number | null>()

  constructor(clock: Clock, load?: LoadHttp3) {
    this.#clock = clock
    this.#load = load
  }

  /** Before anything is sent. Throws `HTTP3_UNAVAILABLE` where it is required and not here. */
  async wish(mode: QuicMode, address: string): Promise<Http3Wish> {
    if (mode === 'never') return { kind: 'not', why: NOT_ASKED_FOR }
    const found = await findHttp3(this.#clock, this.#load)
    if (found.kind === 'loaded') return { kind: 'try', library: found.library, mode }
    if (mode === 'require') throw new ProtocolError('HTTP3_UNAVAILABLE', { address, why: found.why })
    return { kind: 'not', why: found.why }
  }

  /** Throws `HTTP3_UNREACHABLE` where it is required and does not come about. */
  async open(wish: Http3Wish, parts: Omit<Http3DialParts, 'library' | 'clock'>): Promise<Http3Choice> {
    if (wish.kind === 'not') return wish
    const { library, mode } = wish
    const { address } = parts
    const before = this.#failed.get(address)
    if (mode === 'auto' && before !== undefined && this.#clock.nowMs() < before.untilMs)
      return { kind: 'not', why: before.why }
    const dial = await dialHttp3({ ...parts, library, clock: this.#clock })
    if (dial.kind === 'open') return dial
    if (mode === 'require') throw new ProtocolError('HTTP3_UNREACHABLE', { address, why: dial.why })
    if (this.#mayReturn(address)) return { kind: 'again' }
    this.#remember(address, dial.why)
    return dial
  }

  /** A dial over it has succeeded. */
  worked(address: string): void {
    if (this.#worked.size >= ADDRESSES_MAX) this.#worked.clear()
    this.#worked.set(address, null)
  }

  /** It had opened, and then the dial failed: unless the peer is the wrong one, or was there a moment ago, the next dial goes over HTTP/2. */
  broke(address: string, error: ProtocolError): void {
    if (isIdentityRefusal(error) || error.code === 'DIAL_ABORTED' || this.#mayReturn(address)) return
    this.#remember(address, `it opened and broke off: ${reasonOf(error)}`)
  }

  /** Whether an address that fails now was there so short a time ago that it may only have begun anew. */
  #mayReturn(address: string): boolean {
    const failing = this.#worked.get(address)
    if (failing === undefined) return false
    const nowMs = this.#clock.nowMs()
    if (failing === null) this.#worked.set(address, nowMs)
    if (failing === null || nowMs - failing < HTTP3_PATIENCE_MS) return true
    this.#worked.delete(address)
    return false
  }

  #remember(address: string, why: string): void {
    if (this.#failed.size >= ADDRESSES_MAX) this.#failed.clear()
    this.#failed.set(address, { untilMs: this.#clock.nowMs() + HTTP3_RETRY_MS, why })
  }
}
