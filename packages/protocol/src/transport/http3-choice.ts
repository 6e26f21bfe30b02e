/**
 * Whether a dial of `https://` goes over HTTP/3: tried first where it is wanted and can be had, and given up in time.
 *
 * Owns which addresses did not work over it a moment ago: `auto` does not wait for them at every dial. `require` tries
 * always, and fails where it does not come about. Invariant: who proves the wrong identity over HTTP/3 is refused, and not
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
/** So many of them are kept in mind. */
const ADDRESSES_MAX = 64

/** The library, or why HTTP/3 is not tried. */
export type Http3Wish =
  | { readonly kind: 'try'; readonly library: Http3Library; readonly mode: QuicMode }
  | { readonly kind: 'not'; readonly why: string }

/** The stream, or why there is none. */
export type Http3Choice =
  | { readonly kind: 'open'; readonly stream: CreditedStream }
  | { readonly kind: 'not'; readonly why: string }

/** See the file's head. */
export class Http3Choices {
  readonly #clock: Clock
  readonly #load: LoadHttp3 | undefined
  readonly #failed = new Map<string, { readonly untilMs: number; readonly why: string }>()

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
    this.#remember(address, dial.why)
    return dial
  }

  /** It had opened, and then the dial failed: unless the peer is the wrong one, the next dial goes over HTTP/2. */
  broke(address: string, error: ProtocolError): void {
    if (isIdentityRefusal(error) || error.code === 'DIAL_ABORTED') return
    this.#remember(address, `it opened and broke off: ${reasonOf(error)}`)
  }

  #remember(address: string, why: string): void {
    if (this.#failed.size >= ADDRESSES_MAX) this.#failed.clear()
    this.#failed.set(address, { untilMs: this.#clock.nowMs() + HTTP3_RETRY_MS, why })
  }
}
