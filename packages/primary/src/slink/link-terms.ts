/**
 * How the link of a slink is used: what an operator decides about it besides where it leads.
 *
 * Owns the shape, its defaults and the one check that both a stored configuration and the body of a verb pass. Pure.
 */
import { QUIC_MODES, type CompressionMode, type QuicMode } from '@sitelink/protocol/light'
import {
  DETECT_MS_DEFAULT,
  DETECT_MS_MAX,
  DETECT_MS_MIN,
  HEARTBEAT_MS,
  RESYNC_SHARE_PERCENT_DEFAULT,
  RESYNC_SHARE_PERCENT_MAX,
} from '../limits.js'
import { limitProblem, UNLIMITED, type LimitWindow, type LinkLimit } from './link-limit.js'

export const COMPRESSION_MODES: readonly CompressionMode[] = ['off', 'on', 'auto']

export interface InFlightLimit {
  /** Frames sent and not yet received; 0: no limit. */
  readonly ios: number
  /** Their bytes before compression; 0: as much as the agent grants. */
  readonly bytes: number
}

export interface LinkTerms {
  /** Everything that is sent counts, a resync as well. */
  readonly limit: LinkLimit
  /** Upper bound of a resync within the limit, in bytes per second; 0: none. */
  readonly resyncBytesPerSecond: number
  /** Part of the stream that a resync is sure of while live entries wait, 1 to 90. */
  readonly resyncSharePercent: number
  readonly inFlight: InFlightLimit
  /** Whether what is sent is compressed; `auto`: while it is worth while. */
  readonly compression: CompressionMode
  /** A peer that is silent for so long is lost, in milliseconds. */
  readonly detectMs: number
  /** Whether its `https://` addresses are reached over HTTP/3; no other address knows it. */
  readonly quic: QuicMode
}

export const LINK_TERMS_DEFAULT: LinkTerms = {
  limit: UNLIMITED,
  resyncBytesPerSecond: 0,
  resyncSharePercent: RESYNC_SHARE_PERCENT_DEFAULT,
  inFlight: { ios: 0, bytes: 0 },
  compression: 'off',
  detectMs: DETECT_MS_DEFAULT,
  quic: 'auto',
}

export const LINK_TERMS_KEYS = Object.keys(LINK_TERMS_DEFAULT) as readonly (keyof LinkTerms)[]

/** The terms among the keys of something larger; those that are not there are not in the result. */
export function pickTerms(from: Partial<LinkTerms>): Partial<LinkTerms> {
  return Object.fromEntries(LINK_TERMS_KEYS.filter((key) => key in from).map((key) => [key, from[key]]))
}

/** All terms of something larger, and nothing else of it. */
export function linkTermsOf(from: LinkTerms): LinkTerms {
  return { ...LINK_TERMS_DEFAULT, ...pickTerms(from) }
}

/** Heartbeats so often that several may be lost before the peer is. In milliseconds. */
export function heartbeatMsOf({ detectMs }: Pick<LinkTerms, 'detectMs'>): number {
  return Math.min(HEARTBEAT_MS, Math.floor(detectMs / 6))
}

/** Called with the key that is wrong and the end of a sentence about it. */
type Refuse = (key: string, why: string) => never

/** Reads those terms that are there out of JSON of a stranger. */
export function readTerms(from: Readonly<Record<string, unknown>>, refuse: Refuse): Partial<LinkTerms> {
  const integer = (value: unknown, key: string, min: number, max = Number.MAX_SAFE_INTEGER): number => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || Object.is(value, -0) || value < min || value > max)
      return refuse(key, `should be an integer from ${min} to ${max}`)
    return value
  }
  const rate = (value: unknown, key: string): number => integer(value, key, 0)
  const readers: { readonly [K in keyof LinkTerms]: (value: unknown, key: string) => LinkTerms[K] } = {
    limit: (value, key) => readLimitJson(value, key, refuse, integer),
    resyncBytesPerSecond: rate,
    resyncSharePercent: (value, key) => integer(value, key, 1, RESYNC_SHARE_PERCENT_MAX),
    inFlight: (value, key) => {
      const { ios, bytes } = objectOf(value, key, ['ios', 'bytes'], refuse)
      return { ios: integer(ios, `${key}.ios`, 0), bytes: integer(bytes, `${key}.bytes`, 0) }
    },
    compression: (value, key) => {
      if (!COMPRESSION_MODES.includes(value as CompressionMode))
        return refuse(key, `should be one of ${COMPRESSION_MODES.join(', ')}`)
      return value as CompressionMode
    },
    detectMs: (value, key) => integer(value, key, DETECT_MS_MIN, DETECT_MS_MAX),
    quic: (value, key) => {
      if (!QUIC_MODES.includes(value as QuicMode)) return refuse(key, `should be one of ${QUIC_MODES.join(', ')}`)
      return value as QuicMode
    },
  }
  const found = LINK_TERMS_KEYS.filter((key) => Object.hasOwn(from, key))
  return Object.fromEntries(found.map((key) => [key, readers[key](from[key], key)]))
}

function readLimitJson(
  value: unknown,
  key: string,
  refuse: Refuse,
  integer: (value: unknown, key: string, min: number, max?: number) => number,
): LinkLimit {
  const { bytesPerSecond, windows } = objectOf(value, key, ['bytesPerSecond', 'windows'], refuse)
  if (!Array.isArray(windows)) return refuse(`${key}.windows`, 'should be a list')
  const limit = {
    bytesPerSecond: integer(bytesPerSecond, `${key}.bytesPerSecond`, 0),
    windows: windows.map((window: unknown, at): LimitWindow => {
      const of = `${key}.windows[${at}]`
      const keys = ['fromMinute', 'toMinute', 'bytesPerSecond']
      const { fromMinute, toMinute, bytesPerSecond: bytes } = objectOf(window, of, keys, refuse)
      return {
        fromMinute: integer(fromMinute, `${of}.fromMinute`, 0, 1439),
        toMinute: integer(toMinute, `${of}.toMinute`, 0, 1439),
        bytesPerSecond: integer(bytes, `${of}.bytesPerSecond`, 0),
      }
    }),
  }
  const problem = limitProblem(limit)
  return problem === null ? limit : refuse(key, problem)
}

function objectOf(
  value: unknown,
  key: string,
  keys: readonly string[],
  refuse: Refuse,
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(key, 'should be an object')
  for (const name of Object.keys(value)) if (!keys.includes(name)) refuse(`${key}.${name}`, 'is unknown')
  for (const name of keys) if (!Object.hasOwn(value, name)) refuse(`${key}.${name}`, 'is missing')
  return value as Readonly<Record<string, unknown>>
}
