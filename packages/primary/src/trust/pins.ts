/**
 * Which identity stands behind each slink: pinned when it was enrolled, followed when it is rotated, gone when revoked.
 *
 * Owns the shape of `trust.json` and the judgement of a key that an agent shows. Pure; the file is the daemon room's.
 * Without a pin no agent is good: an address alone is never trusted.
 */
import { keyInvalid, type ConfigFormat } from '@sitelink/daemon/light'
import { isFingerprint } from '@sitelink/protocol/light'
import { SLINK_NUMBER_MAX } from '../limits.js'

export interface Pin {
  /** SHA-256 of the agent's public key, 64 hex digits. */
  readonly fingerprint: string
  /** Wall clock, in milliseconds since 1970. */
  readonly enrolledMs: number
}

export interface Pins {
  /** By the number of the slink. */
  readonly pins: Readonly<Record<string, Pin>>
}

export const NO_PINS: Pins = { pins: {} }

export type PinJudgement =
  /** `moves`: the agent shows a key that succeeds the pinned one. */
  | { readonly kind: 'known'; readonly moves: boolean }
  /** `why` goes on behind "it shows the identity ...". */
  | { readonly kind: 'refused'; readonly why: string }

export function pinOf({ pins }: Pins, slink: number): Pin | null {
  return pins[String(slink)] ?? null
}

/** Judges the keys, newest first, that the agent behind a slink shows. */
export function judgePin(pins: Pins, slink: number, keys: readonly string[]): PinJudgement {
  const pin = pinOf(pins, slink)
  if (pin === null) return { kind: 'refused', why: `and none is pinned for slink ${slink}` }
  if (!keys.includes(pin.fingerprint))
    return { kind: 'refused', why: `which is not the one that is pinned for slink ${slink}: ${short(pin.fingerprint)}` }
  return { kind: 'known', moves: keys[0] !== pin.fingerprint }
}

export function withPin({ pins }: Pins, slink: number, pin: Pin): Pins {
  return { pins: { ...pins, [String(slink)]: pin } }
}

export function withoutPin({ pins }: Pins, slink: number): Pins {
  return { pins: Object.fromEntries(Object.entries(pins).filter(([number]) => number !== String(slink))) }
}

/** The pin moves from `before`; nothing changes where it has been replaced or revoked meanwhile. */
export function movedPin(pins: Pins, slink: number, before: string, fingerprint: string): Pins {
  const pin = pinOf(pins, slink)
  return pin?.fingerprint === before ? withPin(pins, slink, { ...pin, fingerprint }) : { ...pins }
}

/** As much of a fingerprint as people compare. */
export function short(fingerprint: string): string {
  return fingerprint.slice(0, 16)
}

export const pinsFormat: ConfigFormat<Pins> = { name: 'trust.json', version: 1, versionMin: 1, validate: checkPins }

function checkPins(value: unknown): Pins {
  const { pins, ...more } = value as Partial<Pins>
  for (const name of Object.keys(more)) throw keyInvalid(name, 'it is unknown')
  if (typeof pins !== 'object' || pins === null || Array.isArray(pins))
    throw keyInvalid('pins', 'it should be an object')
  for (const [slink, pin] of Object.entries(pins)) checkPin(`pins.${slink}`, slink, pin)
  return { pins }
}

function checkPin(key: string, slink: string, pin: unknown): void {
  if (!/^[1-9]\d{0,3}$/.test(slink) || Number(slink) > SLINK_NUMBER_MAX)
    throw keyInvalid(key, 'it should be the number of a slink')
  if (typeof pin !== 'object' || pin === null) throw keyInvalid(key, 'it should be an object')
  const { fingerprint, enrolledMs, ...more } = pin as Partial<Pin>
  for (const name of Object.keys(more)) throw keyInvalid(`${key}.${name}`, 'it is unknown')
  if (!isFingerprint(fingerprint)) throw keyInvalid(`${key}.fingerprint`, 'it should be 64 hex digits')
  if (typeof enrolledMs !== 'number' || !Number.isSafeInteger(enrolledMs) || enrolledMs < 1)
    throw keyInvalid(`${key}.enrolledMs`, 'it should be milliseconds since 1970')
}
