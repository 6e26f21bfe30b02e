/**
 * The words behind `--fall-behind`: `ios=N,size=BYTES,timeout=TIME,resume=PERCENT`, any of them, each at most once.
 *
 * Pure: words in, limits out, or a refusal that names the option; and back. What is printed is read as the same limits.
 */
import { parseCount, parseDurationMs, parseSize } from '@sitelink/daemon/light'
import { primaryErrors } from '../errors.js'
import { FALL_BEHIND_RESUME_PERCENT_MAX } from '../limits.js'
import { NO_LIMIT, resumePercentOf, withResume, type FallBehind } from '../slink/fall-behind.js'

const WORDS = 'ios=N, size=BYTES, timeout=TIME or resume=PERCENT'

/** Bytes of each unit, the largest first. */
const SIZE_UNITS = [
  ['p', 2 ** 50],
  ['t', 2 ** 40],
  ['g', 2 ** 30],
  ['m', 2 ** 20],
  ['k', 2 ** 10],
] as const

/** Milliseconds of each unit, the largest first. */
const TIME_UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const

export function readFallBehind(text: string): FallBehind {
  let limits = NO_LIMIT
  if (text === 'none') return limits
  const seen = new Set<string>()
  for (const part of text.split(',')) {
    const [type = '', value = ''] = part.split('=', 2)
    if (seen.has(type)) throw primaryErrors.create('SLINK_POLICY', { why: `--fall-behind names ${type} twice` })
    seen.add(type)
    if (value === '') throw primaryErrors.create('SLINK_POLICY', { why: `--fall-behind "${part}" should be ${WORDS}` })
    limits = withWord(limits, type, value)
  }
  return limits
}

function withWord(limits: FallBehind, type: string, value: string): FallBehind {
  switch (type) {
    case 'ios':
      return { ...limits, ios: parseCount(value, 'limit of writes', { min: 0 }) }
    case 'size':
      return { ...limits, bytes: parseSize(value) }
    case 'timeout':
      return { ...limits, timeoutMs: parseDurationMs(value) }
    case 'resume':
      return withResume(limits, percentOf(value))
    default:
      throw primaryErrors.create('SLINK_POLICY', { why: `--fall-behind "${type}" should be ${WORDS}` })
  }
}

function percentOf(word: string): number {
  return parseCount(word.replace(/%$/, ''), 'percentage', { min: 1, max: FALL_BEHIND_RESUME_PERCENT_MAX })
}

/** As it is read; `-` for no limit at all. */
export function printFallBehind(limits: FallBehind): string {
  const { ios, bytes, timeoutMs } = limits
  const percent = resumePercentOf(limits)
  const words = [
    ...(ios > 0 ? [`ios=${ios}`] : []),
    ...(bytes > 0 ? [`size=${inUnits(bytes, SIZE_UNITS)}`] : []),
    ...(timeoutMs > 0 ? [`timeout=${inUnits(timeoutMs, TIME_UNITS)}`] : []),
    ...(percent < FALL_BEHIND_RESUME_PERCENT_MAX ? [`resume=${percent}%`] : []),
  ]
  return words.join(',') || '-'
}

/** The largest unit of which it is a whole number. */
function inUnits(value: number, units: readonly (readonly [string, number])[]): string {
  const [name, factor] = units.find(([, one]) => value % one === 0) ?? ['', 1]
  return `${value / factor}${name}`
}
