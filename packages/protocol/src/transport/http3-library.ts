/**
 * The optional library behind HTTP/3: `@fails-components/webtransport-transport-http3-quiche`, and whether it is here.
 *
 * Owns how it is found: from where the main library looks for it, so that both see the same one. It is installed without
 * its native part, which only its install script fetches, and the main library waits for ever where that is missing: here
 * it is loaded first, within {@link HTTP3_LOAD_MS}, and whoever asks hears why it cannot be had. It is asked for on use;
 * nobody waits a second time for a load that was too slow for somebody before, until that is over.
 */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { Clock } from '../entry/clock.js'
import { reasonOf } from '../errors.js'
import { loadWebTransport, type WtServer, type WtSession } from './webtransport-library.js'

export const HTTP3_PACKAGE = '@fails-components/webtransport-transport-http3-quiche'
/** Well below what a dial has, so that HTTP/2 has the rest of it. */
export const HTTP3_LOAD_MS = 2000

export interface Http3Session extends WtSession {
  /** `supports-unreliable` says QUIC; only the side that dials is told the truth. */
  readonly reliability: string
}

export interface Http3Library {
  readonly Http3Server: new (options: object) => WtServer
  readonly WebTransport: new (url: string, options: object) => Http3Session
}

/** Loads the library; rejects where it cannot. */
export type LoadHttp3 = () => Promise<Http3Library>

export type Http3Loaded =
  | { readonly kind: 'loaded'; readonly library: Http3Library }
  /** `why`: a sentence without a full stop. */
  | { readonly kind: 'missing'; readonly why: string }

const TOO_SLOW: Http3Loaded = {
  kind: 'missing',
  why: `the package ${HTTP3_PACKAGE} did not load in ${HTTP3_LOAD_MS} ms`,
}

/** Ways to the library that somebody has given up and that go on. */
const slow = new WeakSet<LoadHttp3>()

/** The library, or why it cannot be had, in bounded time. Never rejects. */
export async function findHttp3(clock: Clock, load: LoadHttp3 = loadHttp3): Promise<Http3Loaded> {
  if (slow.has(load)) return TOO_SLOW
  let late!: () => void
  const tooLate = new Promise<Http3Loaded>((resolve) => {
    late = () => {
      slow.add(load)
      resolve(TOO_SLOW)
    }
  })
  const timer = clock.after(HTTP3_LOAD_MS, late)
  const loading = load()
    .then(
      (library): Http3Loaded => ({ kind: 'loaded', library }),
      (error: unknown): Http3Loaded => ({ kind: 'missing', why: whyMissing(error) }),
    )
    .finally(() => slow.delete(load))
  try {
    return await Promise.race([loading, tooLate])
  } finally {
    timer.cancel()
  }
}

let loading: Promise<Http3Library> | null = null

/** Once for a process: what was installed later is seen after a restart. */
function loadHttp3(): Promise<Http3Library> {
  loading ??= loadOnce()
  return loading
}

async function loadOnce(): Promise<Http3Library> {
  const require = createRequire(import.meta.resolve('@fails-components/webtransport'))
  const found = require.resolve('@fails-components/webtransport-transport-http3-quiche')
  await import(pathToFileURL(found).href)
  // Asked by the library about certificates that are not pinned; ours always are, and nothing else is to be believed.
  Object.assign(globalThis, { FAILSVerifyProof: () => false })
  return (await loadWebTransport()) as unknown as Http3Library
}

/** In words, what an import of the library has failed on. */
export function whyMissing(error: unknown): string {
  const [said = ''] = reasonOf(error).split('\n')
  if (/MODULE_NOT_FOUND$/.test((error as NodeJS.ErrnoException).code ?? '')) {
    if (said.includes('webtransport.node'))
      return `the native part of ${HTTP3_PACKAGE} is not there: its install script has not fetched it`
    if (said.includes(HTTP3_PACKAGE)) return `the package ${HTTP3_PACKAGE} is not installed`
  }
  return `the package ${HTTP3_PACKAGE} does not load: ${said}`
}
