/**
 * A slink as the words of a control line: `<type> <#params> <slink#> ... [<policy> [<key> <value>]...]`.
 *
 * Pure; reads and prints. A tuple ends where its count says, so that a missing value never takes the next tuple's word.
 * `agent` (with its addresses behind the number) is ours, and so are more than one limit, the keys from `resume` on, and the policy words that dm's successor in LVM planned: `drop` and `fail`, besides `received` and `durable`.
 */
import { isDeepStrictEqual } from 'node:util'
import { parseBoolean } from '@sitelink/daemon/light'
import { QUIC_MODES } from '@sitelink/protocol/light'
import { BLOCKDEV_ADDRESS } from '../blockdev/address.js'
import {
  DETECT_MS_MAX,
  DETECT_MS_MIN,
  FALL_BEHIND_RESUME_PERCENT_MAX,
  RESYNC_SHARE_PERCENT_MAX,
  SLINK_NUMBER_MAX,
} from '../limits.js'
import { isLimited, NO_LIMIT, withResume, type FallBehind } from '../slink/fall-behind.js'
import { LimitWordsError, printLimit, readLimit, UNLIMITED } from '../slink/link-limit.js'
import { COMPRESSION_MODES, LINK_TERMS_DEFAULT, type LinkTerms } from '../slink/link-terms.js'
import type { AckLevel, OverflowPolicy, SlinkMode } from '../slink/guard.js'
import { refuse, refuseMissing, refusing, type Errno } from './refusal.js'
import { printBytes, printMs, readBytes, readMs } from './units.js'
import { choice, number, Words } from './words.js'

/** What a policy word may set. */
export interface Policy {
  readonly mode: SlinkMode
  readonly overflow: OverflowPolicy
  readonly ack: AckLevel
}

/** Everything that a tuple says of a slink besides its number, type and addresses. */
export interface SlinkTerms extends Policy, LinkTerms {
  readonly name: string | null
  readonly fallBehind: FallBehind
  readonly holdMs: number | null
  readonly paused: boolean
}

export interface SlinkTuple extends SlinkTerms {
  readonly type: 'blockdev' | 'agent'
  readonly number: number
  /** Of its agent; of the type `blockdev` the one of its scheme, and none for slink 0. */
  readonly addresses: readonly string[]
}

const POLICY_WORDS = ['asynchronous', 'synchronous', 'stall', 'drop', 'fail', 'received', 'durable'] as const
const LIMIT_KEYS = ['ios', 'size', 'data', 'timeout', 'resume'] as const
const KEYS = [
  ...LIMIT_KEYS,
  'hold',
  'limit',
  'rate',
  'share',
  'inflight',
  'compression',
  'detect',
  'quic',
  'paused',
  'name',
] as const
const PARAMETERS_MAX = 64

export const ASYNCHRONOUS: SlinkTerms = {
  name: null,
  mode: 'async',
  overflow: 'drop',
  ack: 'received',
  fallBehind: NO_LIMIT,
  holdMs: null,
  ...LINK_TERMS_DEFAULT,
  paused: false,
}

/** Reads one tuple. */
export function readSlink(words: Words): SlinkTuple {
  const type = choice(words.next('the type of a slink'), 'slink type', ['blockdev', 'agent'], {
    errno: 'ENOENT',
    shortened: false,
  })
  const parameters = words.count('slink', 1, PARAMETERS_MAX)
  const slink = slinkNumber(parameters.next('the number of the slink'))
  const addresses = type === 'agent' ? readAddresses(slink, parameters) : slink === 0 ? [] : [BLOCKDEV_ADDRESS]
  const policy = parameters.peek() === null ? ASYNCHRONOUS : readPolicy(parameters.next('the policy'))
  return { type, number: slink, addresses, ...readKeys(parameters, policy) }
}

export function slinkNumber(word: string, min = 0, errno: Errno = 'EINVAL'): number {
  return number(word, 'slink number', { min, max: SLINK_NUMBER_MAX }, errno)
}

function readAddresses(slink: number, parameters: Words): string[] {
  if (slink === 0) return refuse('EINVAL', 'agent', 'is no type for slink 0, which is the local site: blockdev')
  const addresses = parameters.next('the address of the agent').split(',')
  if (addresses.includes('')) refuse('EINVAL', addresses.join(','), 'has an empty address in it')
  return addresses
}

/** One or more policy words joined by `+`. Each part that is not named is as for a bare `asynchronous`. */
export function readPolicy(word: string): Policy {
  const parts = word.split('+').map((part) => {
    if (part === '' && word !== '') refuse('ENOENT', word, 'has an empty policy word in it')
    return choice(part, 'policy', POLICY_WORDS, { errno: 'ENOENT' })
  })
  const one = <const C extends string>(of: readonly C[], none: C): C => {
    const [found, ...more] = parts.filter((part): part is C & (typeof parts)[number] =>
      (of as readonly string[]).includes(part),
    )
    if (more.length > 0) refuse('EINVAL', word, `names ${found} and ${more.join(' and ')}, of which one can hold`)
    return found ?? none
  }
  const mode = one(['asynchronous', 'synchronous'], 'asynchronous')
  return {
    mode: mode === 'synchronous' ? 'sync' : 'async',
    overflow: one(['stall', 'drop', 'fail'], 'drop'),
    ack: one(['received', 'durable'], 'received'),
  }
}

/** The keys behind a policy, as `ios 100` or `ios=100`, each once. */
function readKeys(words: Words, policy: Policy): SlinkTerms {
  let terms: SlinkTerms = { ...ASYNCHRONOUS, ...policy }
  const seen = new Set<string>()
  while (words.left > 0) {
    const [key, value] = readPair(words)
    const name = key === 'data' ? 'size' : key
    if (seen.has(name)) refuse('EINVAL', key, 'is there twice')
    seen.add(name)
    terms = { ...terms, ...termsOf(name, value, terms) }
  }
  refuseLimitedSync(terms, [...seen].join(', '))
  return terms
}

function readPair(words: Words): readonly [key: (typeof KEYS)[number], value: string] {
  const word = words.next('a limit')
  const at = word.indexOf('=')
  const name = at < 0 ? word : word.slice(0, at)
  const key = choice(name, 'kind of limit', KEYS, { ignoreCase: true, shortened: false })
  if (at < 0 && words.left === 0) refuse('EINVAL', word, 'has no value')
  const value = at < 0 ? words.next('a value') : word.slice(at + 1)
  if (value === '') refuse('EINVAL', word, 'has no value')
  return [key, value]
}

function termsOf(key: string, value: string, { fallBehind }: SlinkTerms): Partial<SlinkTerms> {
  switch (key) {
    case 'ios':
      return { fallBehind: { ...fallBehind, ios: number(value, 'limit of writes') } }
    case 'size':
      return { fallBehind: { ...fallBehind, bytes: readBytes(value, 'limit of amount') } }
    case 'timeout':
      return { fallBehind: { ...fallBehind, timeoutMs: readMs(value, 'limit of age') } }
    case 'resume':
      return { fallBehind: withResume(fallBehind, readResume(value)) }
    case 'hold':
      return { holdMs: readMs(value, 'hold time') }
    case 'limit':
      return { limit: readLimitWord(value) }
    case 'share':
      return { resyncSharePercent: number(value, 'share of a resync', { min: 1, max: RESYNC_SHARE_PERCENT_MAX }) }
    case 'inflight':
      return { inFlight: readInFlightWord(value) }
    case 'compression':
      return { compression: choice(value, 'compression', COMPRESSION_MODES, { shortened: false }) }
    case 'detect':
      return { detectMs: readDetect(value) }
    case 'quic':
      return { quic: choice(value, 'use of QUIC', QUIC_MODES, { shortened: false }) }
    case 'rate':
      return { resyncBytesPerSecond: readBytes(value, 'rate of resync') }
    case 'name':
      return { name: value }
    default:
      return { paused: refusing('EINVAL', value, () => parseBoolean(value)) }
  }
}

function readResume(word: string): number {
  return number(word, 'share to resume at', { min: 1, max: FALL_BEHIND_RESUME_PERCENT_MAX })
}

function refuseLimitedSync({ mode, fallBehind }: SlinkTerms, keys: string): void {
  if (mode === 'sync' && isLimited(fallBehind))
    refuse('EINVAL', keys, 'is for asynchronous slinks: a synchronous one never falls behind')
  refuseBareResume(fallBehind)
}

function refuseBareResume({ resumePercent, ...limits }: FallBehind): void {
  if (resumePercent !== undefined && !isLimited(limits))
    refuse('EINVAL', 'resume', 'is a share of limits, and there is none: ios, size or timeout')
}

/** The words of a `fallbehind` message: one limit or more; those that are not named are none, and no share is named. */
export function readLimits(words: Words): FallBehind {
  if (words.left === 0) refuseMissing('EINVAL', 'a limit is missing: ios=N, size=N or timeout=N')
  const seen = new Set<string>()
  let fallBehind = NO_LIMIT
  while (words.left > 0) {
    const [key, value] = readPair(words)
    const limit = choice(key, 'kind of limit', LIMIT_KEYS, { shortened: false })
    const name = limit === 'data' ? 'size' : limit
    if (seen.has(name)) refuse('EINVAL', key, 'is there twice')
    seen.add(name)
    fallBehind = termsOf(name, value, { ...ASYNCHRONOUS, fallBehind }).fallBehind ?? fallBehind
  }
  refuseBareResume(fallBehind)
  return fallBehind
}

/** The tuple as words; a default is not printed, the policy always. */
export function printSlink({ type, number: slink, addresses, ...terms }: SlinkTuple): string[] {
  const parameters = [String(slink), ...(type === 'agent' ? [addresses.join(',')] : []), printPolicy(terms)]
  const { ios, bytes, timeoutMs, resumePercent } = terms.fallBehind
  if (ios > 0) parameters.push('ios', String(ios))
  if (bytes > 0) parameters.push('size', printBytes(bytes))
  if (timeoutMs > 0) parameters.push('timeout', printMs(timeoutMs))
  if (resumePercent !== undefined) parameters.push('resume', String(resumePercent))
  if (terms.holdMs !== null) parameters.push('hold', printMs(terms.holdMs))
  parameters.push(...printTerms(terms))
  if (terms.resyncBytesPerSecond > 0) parameters.push('rate', printBytes(terms.resyncBytesPerSecond))
  if (terms.paused) parameters.push('paused', 'yes')
  if (terms.name !== null) parameters.push('name', terms.name)
  return [type, String(parameters.length), ...parameters]
}

export function printPolicy({ mode, overflow, ack }: Policy): string {
  const words: string[] = [mode === 'sync' ? 'synchronous' : 'asynchronous']
  if (overflow !== 'drop') words.push(overflow)
  if (ack !== 'received') words.push(ack)
  return words.join('+')
}

function readLimitWord(word: string): LinkTerms['limit'] {
  try {
    return refusing('EINVAL', word, () => readLimit(word))
  } catch (error) {
    if (error instanceof LimitWordsError) return refuse('EINVAL', word, error.message)
    throw error
  }
}

/** `IOS/SIZE`, 0 for none of both. */
function readInFlightWord(word: string): LinkTerms['inFlight'] {
  const [ios = '', size = '', ...more] = word.split('/')
  if (more.length > 0 || ios === '' || size === '')
    return refuse('EINVAL', word, 'should be as 1000/8m, 0 for no limit')
  return { ios: number(ios, 'frames in flight'), bytes: readBytes(size, 'amount in flight') }
}

function readDetect(word: string): number {
  const ms = readMs(word, 'detection time')
  if (ms < DETECT_MS_MIN || ms > DETECT_MS_MAX)
    return refuse('EINVAL', word, `is not from ${DETECT_MS_MIN} to ${DETECT_MS_MAX} ms`)
  return ms
}

function printTerms({ limit, resyncSharePercent, inFlight, compression, detectMs, quic }: LinkTerms): string[] {
  const words: string[] = []
  if (!isDeepStrictEqual(limit, UNLIMITED)) words.push('limit', printLimit(limit))
  if (resyncSharePercent !== LINK_TERMS_DEFAULT.resyncSharePercent) words.push('share', String(resyncSharePercent))
  if (inFlight.ios > 0 || inFlight.bytes > 0) words.push('inflight', `${inFlight.ios}/${printBytes(inFlight.bytes)}`)
  if (compression !== LINK_TERMS_DEFAULT.compression) words.push('compression', compression)
  if (detectMs !== LINK_TERMS_DEFAULT.detectMs) words.push('detect', printMs(detectMs))
  if (quic !== LINK_TERMS_DEFAULT.quic) words.push('quic', quic)
  return words
}
