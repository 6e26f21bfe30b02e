/**
 * The options of `slink add` and `slink set` that say how a link is used, as the verbs take them.
 *
 * Pure: words in, the part of a body out, or a refusal that names the option.
 */
import { QUIC_MODES, type CompressionMode, type QuicMode } from '@sitelink/protocol/light'
import { parseCount, parseDurationMs, parseSize } from '@sitelink/daemon/light'
import { primaryErrors } from '../errors.js'
import { DETECT_MS_MAX, DETECT_MS_MIN, RESYNC_SHARE_PERCENT_MAX } from '../limits.js'
import { LimitWordsError, readLimit } from '../slink/link-limit.js'
import { COMPRESSION_MODES, type InFlightLimit, type LinkTerms } from '../slink/link-terms.js'

export interface LinkOptions {
  readonly limit?: string
  readonly resyncRate?: string
  readonly resyncShare?: string
  readonly inFlight?: string
  readonly compression?: string
  readonly detect?: string
  readonly quic?: string
}

export function linkTermsOf(options: LinkOptions): Partial<LinkTerms> {
  const { limit, resyncRate, resyncShare, inFlight, compression, detect, quic } = options
  return {
    ...(limit === undefined ? {} : { limit: limitOf(limit) }),
    ...(resyncRate === undefined ? {} : { resyncBytesPerSecond: parseSize(resyncRate) }),
    ...(resyncShare === undefined ? {} : { resyncSharePercent: shareOf(resyncShare) }),
    ...(inFlight === undefined ? {} : { inFlight: inFlightOf(inFlight) }),
    ...(compression === undefined ? {} : { compression: compressionOf(compression) }),
    ...(detect === undefined ? {} : { detectMs: parseDurationMs(detect, { min: DETECT_MS_MIN, max: DETECT_MS_MAX }) }),
    ...(quic === undefined ? {} : { quic: quicOf(quic) }),
  }
}

function limitOf(text: string): LinkTerms['limit'] {
  try {
    return readLimit(text)
  } catch (error) {
    if (!(error instanceof LimitWordsError)) throw error
    throw primaryErrors.create('SLINK_POLICY', { why: `--limit "${text}" ${error.message}` }, { cause: error })
  }
}

function compressionOf(text: string): CompressionMode {
  const mode = COMPRESSION_MODES.find((one) => one === text)
  if (mode !== undefined) return mode
  throw primaryErrors.create('SLINK_POLICY', {
    why: `--compression "${text}" should be one of ${COMPRESSION_MODES.join(', ')}`,
  })
}

function quicOf(text: string): QuicMode {
  const mode = QUIC_MODES.find((one) => one === text)
  if (mode !== undefined) return mode
  throw primaryErrors.create('SLINK_POLICY', { why: `--quic "${text}" should be one of ${QUIC_MODES.join(', ')}` })
}

function shareOf(text: string): number {
  return parseCount(text.replace(/%$/, ''), 'percentage', { min: 1, max: RESYNC_SHARE_PERCENT_MAX })
}

/** `ios=N,size=BYTES`, each at most once; `none`. */
function inFlightOf(text: string): InFlightLimit {
  const limit = { ios: 0, bytes: 0 }
  if (text === 'none') return limit
  const seen = new Set<string>()
  for (const part of text.split(',')) {
    const [type = '', value = ''] = part.split('=', 2)
    if (seen.has(type) || value === '' || (type !== 'ios' && type !== 'size'))
      throw primaryErrors.create('SLINK_POLICY', { why: `--in-flight "${text}" should be ios=N, size=BYTES, or both` })
    seen.add(type)
    if (type === 'ios') limit.ios = parseCount(value, 'frames in flight', { min: 0 })
    else limit.bytes = parseSize(value)
  }
  return limit
}
