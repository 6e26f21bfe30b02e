/**
 * What arrives at the control API, checked: JSON of a stranger in, a wish of `changes.ts` out.
 *
 * Owns the shapes of the verbs' bodies. The command line builds the same bodies, so that a verb means the same with and
 * without a running daemon.
 */
import { daemonErrors } from '@sitelink/daemon/light'
import { KEYED_SCHEMES, parseAddress } from '@sitelink/protocol/light'
import { BLOCKDEV_ADDRESS } from '../blockdev/address.js'
import type { DirtyLogConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import { DEVICE_NUMBER_MAX, FALL_BEHIND_RESUME_PERCENT_MAX, SLINK_NUMBER_MAX } from '../limits.js'
import { withResume, type FallBehind } from '../slink/fall-behind.js'
import { LINK_TERMS_KEYS, readTerms } from '../slink/link-terms.js'
import { DIALS_IN } from '../trust/dial-in.js'
import type { LinkWish } from '../trust/link-plan.js'
import type { NewMapping, NewSlink, SlinkChange } from './changes.js'

/** Transports that the program has. */
const SCHEMES: readonly string[] = [...KEYED_SCHEMES, 'tcp']

/** Words of one message: a remote device on each of all slinks, and more. */
const WORDS_MAX = 16_384

type Json = Readonly<Record<string, unknown>>

function refuse(key: string, why: string): never {
  throw daemonErrors.create('CONTROL_REQUEST_INVALID', { why: `${key} ${why}` })
}

/** The body as an object with no other keys than these. */
export function bodyOf(value: unknown, keys: readonly string[]): Json {
  const body = value ?? {}
  if (typeof body !== 'object' || Array.isArray(body)) refuse('the body', 'should be an object')
  for (const key of Object.keys(body)) if (!keys.includes(key)) refuse(key, 'is unknown')
  return body as Json
}

export function integerOf(body: Json, key: string, min: number, max: number): number {
  const value = body[key]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || Object.is(value, -0) || value < min || value > max)
    return refuse(key, `should be an integer from ${min} to ${max}`)
  return value
}

export function textOf(body: Json, key: string, charactersMax = 4096): string {
  const value = body[key]
  if (typeof value !== 'string' || value === '' || value.length > charactersMax || value.includes('\0'))
    return refuse(key, `should be a string of 1 to ${charactersMax} characters without NUL`)
  return value
}

/** Words of a message; an empty one is for its reader to refuse. */
export function wordsOf(body: Json, key: string): string[] {
  const value = body[key]
  if (!Array.isArray(value) || value.length > WORDS_MAX)
    return refuse(key, `should be a list of at most ${WORDS_MAX} words`)
  return value.map((word: unknown) => (word === '' ? '' : textOf({ word }, 'word')))
}

export function flagOf(body: Json, key: string): boolean {
  const value = body[key] ?? false
  if (typeof value !== 'boolean') return refuse(key, 'should be true or false')
  return value
}

function wordOf<T extends string>(body: Json, key: string, words: readonly T[]): T {
  const value = body[key]
  if (!words.includes(value as T)) return refuse(key, `should be one of ${words.join(', ')}`)
  return value as T
}

export const deviceNumberOf = (body: Json, key = 'device'): number => integerOf(body, key, 0, DEVICE_NUMBER_MAX)
export const slinkNumberOf = (body: Json): number => integerOf(body, 'slink', 0, SLINK_NUMBER_MAX)

export interface DeviceWish {
  readonly number: number
  readonly path: string
  readonly name: string
}

export function deviceWish(value: unknown): DeviceWish {
  const body = bodyOf(value, ['number', 'path', 'name'])
  const path = textOf(body, 'path')
  if (!path.startsWith('/')) refuse('path', 'should be absolute')
  return { number: deviceNumberOf(body, 'number'), path, name: textOf(body, 'name') }
}

const SLINK_KEYS = [
  'name',
  'addresses',
  'mode',
  'ack',
  'overflow',
  'holdMs',
  'fallBehind',
  ...LINK_TERMS_KEYS,
  'paused',
]

export function slinkWish(value: unknown): NewSlink {
  const { slink, ...rest } = bodyOf(value, ['slink', ...SLINK_KEYS])
  const { addresses = [], mode = 'async', ...change } = slinkChange(rest)
  return { number: slinkNumberOf({ slink }), addresses, mode, ...change }
}

/** How a slink is to be reached, apart from its addresses; the rest of the body is the slink's. */
export function linkWish(value: unknown): { readonly link: LinkWish; readonly rest: Json } {
  const { invitation = null, insecurePlain = false, dialedBy = null, ...rest } = bodyOf(value, Object.keys(value ?? {}))
  const link = {
    invitation: invitation === null ? null : textOf({ invitation }, 'invitation'),
    insecurePlain: flagOf({ insecurePlain }, 'insecurePlain'),
    dialedBy: dialedBy === null ? null : textOf({ dialedBy }, 'dialedBy'),
  }
  return { link, rest }
}

export function slinkChange(value: unknown): SlinkChange {
  const body = bodyOf(value, SLINK_KEYS)
  return {
    ...('addresses' in body ? { addresses: addressesOf(body) } : {}),
    ...('name' in body ? { name: body['name'] === null ? null : textOf(body, 'name') } : {}),
    ...('mode' in body ? { mode: wordOf(body, 'mode', ['sync', 'async']) } : {}),
    ...('ack' in body ? { ack: wordOf(body, 'ack', ['received', 'durable']) } : {}),
    ...('overflow' in body ? { overflow: wordOf(body, 'overflow', ['drop', 'stall', 'fail']) } : {}),
    ...('holdMs' in body
      ? { holdMs: body['holdMs'] === null ? null : integerOf(body, 'holdMs', 0, Number.MAX_SAFE_INTEGER) }
      : {}),
    ...('fallBehind' in body ? { fallBehind: fallBehindOf(body['fallBehind']) } : {}),
    ...readTerms(body, refuse),
    ...('paused' in body ? { paused: flagOf(body, 'paused') } : {}),
  }
}

function addressesOf(body: Json): string[] {
  const value = body['addresses']
  if (!Array.isArray(value) || value.length === 0 || value.length > 16)
    return refuse('addresses', 'should be a list of 1 to 16 addresses')
  return value.map((address: unknown) => {
    if (typeof address !== 'string') return refuse('addresses', 'should be a list of strings')
    if (address !== BLOCKDEV_ADDRESS) checkAddress(address)
    return address
  })
}

/** Refuses what is no address, or one that the program has no transport for. */
export function checkAddress(address: string): void {
  if (address === DIALS_IN) return
  const { scheme } = parseAddress(address)
  if (!SCHEMES.includes(scheme))
    throw primaryErrors.create('ADDRESS', {
      why: `the address "${address}" has the scheme ${scheme}: it should be ${SCHEMES.join(' or ')}`,
    })
}

function fallBehindOf(value: unknown): FallBehind {
  const body = bodyOf(value, ['ios', 'bytes', 'timeoutMs', 'resumePercent'])
  const limit = (key: string): number => (key in body ? integerOf(body, key, 0, Number.MAX_SAFE_INTEGER) : 0)
  const limits = { ios: limit('ios'), bytes: limit('bytes'), timeoutMs: limit('timeoutMs') }
  if (!('resumePercent' in body)) return limits
  return withResume(limits, integerOf(body, 'resumePercent', 1, FALL_BEHIND_RESUME_PERCENT_MAX))
}

export function mapWish(value: unknown, mappingId: string): NewMapping {
  const body = bodyOf(value, ['device', 'slink', 'remote', 'dirtyLog', 'dirtyLogPath', 'regionBytes', 'initial'])
  const type = wordOf(body, 'dirtyLog', ['core', 'disk'])
  const path = (body['dirtyLogPath'] ?? null) === null ? null : textOf(body, 'dirtyLogPath')
  if (path !== null && (type === 'core' || !path.startsWith('/')))
    refuse('dirtyLogPath', 'should be an absolute path, for a disk log')
  const dirtyLog: DirtyLogConfig = type === 'core' ? { type } : { type, path }
  return {
    device: deviceNumberOf(body),
    slink: slinkNumberOf(body),
    remote: textOf(body, 'remote'),
    dirtyLog,
    regionBytes: integerOf(body, 'regionBytes', 1, Number.MAX_SAFE_INTEGER),
    initial: wordOf(body, 'initial', ['sync', 'nosync']),
    mappingId,
  }
}
