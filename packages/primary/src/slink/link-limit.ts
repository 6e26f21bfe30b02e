/**
 * The bandwidth that a slink may use: a rate, and other rates by the time of day.
 *
 * Pure. Owns the words (`10m,22:00-06:00=unlimited`), their rules and which rate holds at a moment. Times are local times
 * of the primary, asked for as minutes of the day: on the days on which clocks are changed a window is as long as the
 * clock on the wall says, and no window is ever missed or stuck. Windows never overlap, so that one rate holds at a time.
 */
import { parseSize } from '@sitelink/daemon/light'
import { LIMIT_RATE_MIN, LIMIT_WINDOWS_MAX } from '../limits.js'

/** A rate that holds in a part of each day. `toMinute` may lie before `fromMinute`: the window goes over midnight. */
export interface LimitWindow {
  /** Minute of the local day, 0 to 1439; the window begins with it. */
  readonly fromMinute: number
  /** Minute of the local day, 0 to 1439; the window ends before it. Never equal to `fromMinute`. */
  readonly toMinute: number
  /** Bytes per second on the wire; 0: no limit. */
  readonly bytesPerSecond: number
}

export interface LinkLimit {
  /** Bytes per second on the wire where no window says otherwise; 0: no limit. */
  readonly bytesPerSecond: number
  /** In order of their beginning. */
  readonly windows: readonly LimitWindow[]
}

export const UNLIMITED: LinkLimit = { bytesPerSecond: 0, windows: [] }

const DAY_MINUTES = 1440
const WORDS_NONE: readonly string[] = ['unlimited', 'none']

/** The rate that holds at a minute of the local day, in bytes per second; 0: no limit. */
export function rateAt({ bytesPerSecond, windows }: LinkLimit, minute: number): number {
  return windows.find((window) => holds(window, minute))?.bytesPerSecond ?? bytesPerSecond
}

/** Minute of the day, 0 to 1439, on a clock on the wall of this host. */
export function localMinute(wallUs: number): number {
  const now = new Date(wallUs / 1000)
  return now.getHours() * 60 + now.getMinutes()
}

/** Why a limit cannot be meant, as the end of a sentence about it; null if it can. */
export function limitProblem({ bytesPerSecond, windows }: LinkLimit): string | null {
  if (windows.length > LIMIT_WINDOWS_MAX) return `has more than ${LIMIT_WINDOWS_MAX} windows`
  for (const rate of [bytesPerSecond, ...windows.map((window) => window.bytesPerSecond)]) {
    if (rate !== 0 && rate < LIMIT_RATE_MIN)
      return `has a rate below ${LIMIT_RATE_MIN} bytes per second: pause the slink to stop it`
  }
  const taken = new Uint8Array(DAY_MINUTES)
  for (const window of windows) {
    const { fromMinute, toMinute } = window
    if (fromMinute === toMinute) return `has the window ${printWindow(window)}, which begins where it ends`
    for (let minute = fromMinute; minute !== toMinute; minute = (minute + 1) % DAY_MINUTES) {
      if (taken[minute] === 1) return `has two windows at ${printMinute(minute)}`
      taken[minute] = 1
    }
  }
  return null
}

/** A limit that could not be read; the message is the end of a sentence that begins with the words. */
export class LimitWordsError extends Error {}

/**
 * Reads `RATE[,FROM-TO=RATE]...`, as `10m,22:00-06:00=unlimited`. A rate is a size per second, `unlimited` or `none`.
 * Throws {@link LimitWordsError}, and what `parseSize` throws.
 */
export function readLimit(text: string): LinkLimit {
  const [base = '', ...parts] = text.split(',')
  if (base.includes('=')) throw new LimitWordsError('should begin with the rate that holds outside of its windows')
  const windows = parts.map(readWindow).toSorted((a, b) => a.fromMinute - b.fromMinute)
  const limit = { bytesPerSecond: readRate(base), windows }
  const problem = limitProblem(limit)
  if (problem !== null) throw new LimitWordsError(problem)
  return limit
}

/** The words of a limit; they read back as the same. */
export function printLimit({ bytesPerSecond, windows }: LinkLimit): string {
  return [printRate(bytesPerSecond), ...windows.map(printWindow)].join(',')
}

function holds({ fromMinute, toMinute }: LimitWindow, minute: number): boolean {
  return fromMinute < toMinute ? minute >= fromMinute && minute < toMinute : minute >= fromMinute || minute < toMinute
}

function readWindow(text: string): LimitWindow {
  const match = /^(\d\d):(\d\d)-(\d\d):(\d\d)=(.+)$/.exec(text)
  if (match === null) throw new LimitWordsError(`has "${text}", which should be as 22:00-06:00=unlimited`)
  const [, fromHour, fromMinutes, toHour, toMinutes, rate = ''] = match
  const from = Number(fromHour) * 60 + Number(fromMinutes)
  const to = Number(toHour) * 60 + Number(toMinutes)
  if (from >= DAY_MINUTES || to > DAY_MINUTES || Number(fromMinutes) > 59 || Number(toMinutes) > 59)
    throw new LimitWordsError(`has "${text}", which is no time of a day`)
  return { fromMinute: from, toMinute: to % DAY_MINUTES, bytesPerSecond: readRate(rate) }
}

function readRate(text: string): number {
  if (WORDS_NONE.includes(text)) return 0
  const rate = parseSize(text)
  // Some would mean that nothing is sent, others that everything is.
  if (rate === 0) throw new LimitWordsError('has the rate 0: "none" lifts the limit, and pausing the slink stops it')
  return rate
}

function printWindow({ fromMinute, toMinute, bytesPerSecond }: LimitWindow): string {
  return `${printMinute(fromMinute)}-${printMinute(toMinute)}=${printRate(bytesPerSecond)}`
}

function printMinute(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`
}

function printRate(bytes: number): string {
  if (bytes === 0) return 'unlimited'
  const [factor, unit] = SIZES.find(([size]) => bytes % size === 0) ?? [1, '']
  return `${bytes / factor}${unit}`
}

const SIZES = [
  [2 ** 40, 't'],
  [2 ** 30, 'g'],
  [2 ** 20, 'm'],
  [2 ** 10, 'k'],
] as const
