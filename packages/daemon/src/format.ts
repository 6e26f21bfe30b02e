/**
 * Numbers as a person reads them: bytes, rates, durations, counts, ages.
 *
 * Pure, for eyes only: never parsed again, never in JSON. `null` is unknown and shows as `-`.
 */

const SIZE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const

/** What stands for a value that is not known. */
export const UNKNOWN = '-'

/** `0 B`, `512 B`, `1.5 KiB`, `12 MiB`: three digits at the most, powers of 1024. */
export function formatBytes(bytes: number | bigint | null): string {
  if (bytes === null) return UNKNOWN
  let value = Math.abs(Number(bytes))
  let unit = 0
  // What would round to 1024 of a unit is 1 of the next.
  while (Math.round(value) >= 1024 && unit < SIZE_UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
  const text = value.toFixed(digits)
  return `${Number(bytes) < 0 ? '-' : ''}${digits === 0 ? text : text.replace(/\.?0+$/, '')} ${SIZE_UNITS[unit]}`
}

/** `12 MiB/s`. */
export function formatRate(bytesPerSecond: number | null): string {
  return bytesPerSecond === null || !Number.isFinite(bytesPerSecond)
    ? UNKNOWN
    : `${formatBytes(Math.round(bytesPerSecond))}/s`
}

/** `0ms`, `850ms`, `3.2s`, `45s`, `2m05s`, `3h20m`, `5d04h`: the two largest units. */
export function formatDuration(ms: number | null): string {
  if (ms === null || !Number.isFinite(ms)) return UNKNOWN
  if (ms < 0) return `-${formatDuration(-ms)}`
  if (Math.round(ms) < 1000) return `${Math.round(ms)}ms`
  if (Math.round(ms / 100) < 100) return `${(ms / 1000).toFixed(1).replace(/\.0$/, '')}s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return two(seconds, 60, 'm', 's', 1)
  if (seconds < 86_400) return two(seconds, 3600, 'h', 'm', 60)
  return two(seconds, 86_400, 'd', 'h', 3600)
}

/** `1 device`, `2 devices`, `12,345 entries`. */
export function formatCount(count: number | bigint | null, one: string, many = `${one}s`): string {
  return count === null ? UNKNOWN : `${groupDigits(count)} ${BigInt(count) === 1n ? one : many}`
}

/** `12,345,678`. Whole numbers only. */
export function groupDigits(count: number | bigint): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** `3.2s ago`; `now` below 1 s, also for a moment that lies a little ahead. Both in microseconds since 1970. */
export function formatAge(timeUs: number | null, nowUs: number): string {
  if (timeUs === null) return UNKNOWN
  const ms = (nowUs - timeUs) / 1000
  if (ms < -1000) return `in ${formatDuration(-ms)}`
  return ms < 1000 ? 'now' : `${formatDuration(ms)} ago`
}

/** `37%`, `37.5%`; 100% only of what is complete. */
export function formatPercent(done: number, total: number): string {
  if (total <= 0) return '100%'
  const tenths = Math.floor((done / total) * 1000)
  const shown = done >= total ? 1000 : Math.min(tenths, 999)
  return `${(shown / 10).toFixed(shown % 10 === 0 ? 0 : 1)}%`
}

/** `2026-11-22T17:05:01.123Z` of microseconds since 1970. */
export function formatTime(timeUs: number | null): string {
  return timeUs === null ? UNKNOWN : new Date(timeUs / 1000).toISOString()
}

function two(value: number, large: number, largeName: string, smallName: string, small: number): string {
  const rest = Math.floor((value % large) / small)
  return `${Math.floor(value / large)}${largeName}${String(rest).padStart(2, '0')}${smallName}`
}
