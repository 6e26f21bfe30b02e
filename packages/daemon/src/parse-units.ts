/**
 * Sizes, durations, counts and switches as a person writes them on a command line or in a request.
 *
 * Pure. Whole numbers only, the entire word must be understood, nothing is rounded and nothing overflows silently: what
 * is not exact is refused with the word that was given (`UNIT_INVALID`, exit status 64).
 */
import { daemonErrors } from './daemon-errors.js'
import type { SitelinkError } from './errors.js'

const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ['k', 2 ** 10],
  ['m', 2 ** 20],
  ['g', 2 ** 30],
  ['t', 2 ** 40],
  ['p', 2 ** 50],
])
const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])
const WORDS_TRUE: readonly string[] = ['yes', 'true', 'on', '1']
const WORDS_FALSE: readonly string[] = ['no', 'false', 'off', '0']

export interface Range {
  readonly min?: number
  readonly max?: number
}

/**
 * Bytes of `word`: a whole number with an optional `k m g t p` (powers of 1024, either case, also `kib` or `KiB`).
 * `range` is in bytes.
 */
export function parseSize(word: string, range: Range = {}): number {
  const refuse = (why: string): SitelinkError => invalid(word, 'size', why, '4096, 512m or 1g')
  const { digits, unit } = split(word, refuse)
  if (/^[kmgtp]b$/i.test(unit)) throw refuse(`"${unit}" may mean 1000 or 1024; "${unit.charAt(0)}" is a power of 1024`)
  const factor = SIZE_UNITS.get(unit.toLowerCase().replace(/^([kmgtp])ib$/, '$1'))
  if (factor === undefined) throw refuse(`"${unit}" is no unit`)
  return inRange(exact(digits, factor, refuse), range, refuse, ' bytes')
}

/** Milliseconds of `word`: a whole number with one of `ms s m h d`, which must be there. `range` is in milliseconds. */
export function parseDurationMs(word: string, range: Range = {}): number {
  const refuse = (why: string): SitelinkError => invalid(word, 'duration', why, '500ms, 3s, 2m or 1h')
  const { digits, unit } = split(word, refuse)
  const factor = DURATION_UNITS.get(unit)
  if (factor === undefined) throw refuse(unit === '' ? 'the unit is missing' : `"${unit}" is no unit`)
  return inRange(exact(digits, factor, refuse), range, refuse, ' ms')
}

/** A whole number without a unit. `what` names it in the error, as `device number`. */
export function parseCount(word: string, what = 'number', range: Range = {}): number {
  const refuse = (why: string): SitelinkError => invalid(word, what, why, countExample(range))
  const { digits, unit } = split(word, refuse)
  if (unit !== '') throw refuse(`"${unit}" follows the number`)
  return inRange(exact(digits, 1, refuse), range, refuse)
}

/** `yes true on 1` or `no false off 0`, in any case. */
export function parseBoolean(word: string): boolean {
  if (WORDS_TRUE.includes(word.toLowerCase())) return true
  if (WORDS_FALSE.includes(word.toLowerCase())) return false
  throw invalid(word, 'switch', 'it is neither yes nor no', 'yes or no')
}

/** One of `choices`, as it is written there. */
export function parseChoice<const C extends string>(word: string, what: string, choices: readonly C[]): C {
  const found = choices.find((choice) => choice === word)
  if (found === undefined) throw invalid(word, what, 'it is none of the choices', choices.join(', '))
  return found
}

function split(word: string, refuse: (why: string) => SitelinkError): { digits: string; unit: string } {
  const match = /^(\d+)(.*)$/s.exec(word)
  if (match === null) {
    if (word === '') throw refuse('it is empty')
    throw refuse(/^-\d/.test(word) ? 'it is negative' : 'it does not begin with a digit')
  }
  const { 1: digits = '', 2: unit = '' } = match
  if (/^[.,]\d/.test(unit)) throw refuse('it is not a whole number')
  return { digits, unit }
}

function exact(digits: string, factor: number, refuse: (why: string) => SitelinkError): number {
  const value = BigInt(digits) * BigInt(factor)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw refuse('it is too large')
  return Number(value)
}

function countExample({ min = 0, max }: Range): string {
  return max === undefined ? `a whole number of at least ${min}` : `a whole number from ${min} to ${max}`
}

function inRange(value: number, { min, max }: Range, refuse: (why: string) => SitelinkError, unit = ''): number {
  if (min !== undefined && value < min) throw refuse(`it is below ${min}${unit}`)
  if (max !== undefined && value > max) throw refuse(`it is above ${max}${unit}`)
  return value
}

function invalid(word: string, what: string, why: string, example: string): SitelinkError {
  return daemonErrors.create('UNIT_INVALID', { word, what, why, example })
}
