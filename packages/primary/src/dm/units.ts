/**
 * Amounts and times with dm's units, read and printed exactly.
 *
 * Pure. An amount without a unit is in sectors of 512 bytes, a time without one in milliseconds. What is printed is read
 * back as the same value. `b` (bytes) is ours: a limit set by the friendly verbs need not be whole sectors.
 */
import { refuse } from './refusal.js'
import { number } from './words.js'

export const SECTOR_BYTES = 512

/** Sectors of each unit. */
const AMOUNTS = [
  ['e', 2 ** 51],
  ['p', 2 ** 41],
  ['t', 2 ** 31],
  ['g', 2 ** 21],
  ['m', 2 ** 11],
  ['k', 2],
  ['s', 1],
] as const

/** Milliseconds of each unit. */
const TIMES = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['t', 1],
] as const

function scaled(word: string, what: string, units: readonly (readonly [string, number])[]): number {
  const unit = /[^\d]$/.exec(word)?.[0] ?? ''
  const factor = unit === '' ? 1 : units.find(([name]) => name === unit.toLowerCase())?.[1]
  const value = number(unit === '' ? word : word.slice(0, -1) || word, what)
  if (factor === undefined) {
    const names = units.map(([name]) => name).reverse()
    return refuse('EINVAL', word, `has the unit "${unit}", which is none of ${names.join(', ')}`)
  }
  return exact(word, value, factor)
}

function exact(word: string, value: number, factor: number): number {
  if (BigInt(value) * BigInt(factor) > BigInt(Number.MAX_SAFE_INTEGER)) refuse('EINVAL', word, 'is too large')
  return value * factor
}

/** Sectors of an amount: `1m` is 2048. */
export function readSectors(word: string, what: string): number {
  return scaled(word, what, AMOUNTS)
}

/** Bytes of an amount; with the unit `b` they need not be whole sectors. */
export function readBytes(word: string, what: string): number {
  if (/^\d+b$/i.test(word)) return number(word.slice(0, -1), what)
  return exact(word, readSectors(word, what), SECTOR_BYTES)
}

/** Milliseconds of a time: `3s` is 3000. */
export function readMs(word: string, what: string): number {
  return scaled(word, what, TIMES)
}

function largest(value: number, units: readonly (readonly [string, number])[]): string {
  const [name, factor] = units.find(([, one]) => value % one === 0) ?? ['', 1]
  return value === 0 || factor === 1 ? String(value) : `${value / factor}${name}`
}

export function printBytes(bytes: number): string {
  return bytes % SECTOR_BYTES === 0 ? largest(bytes / SECTOR_BYTES, AMOUNTS) : `${bytes}b`
}

export function printMs(ms: number): string {
  return largest(ms, TIMES)
}
