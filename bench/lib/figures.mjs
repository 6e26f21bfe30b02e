/**
 * Figures of several rounds: their spread, and ratios taken round by round.
 *
 * Pure functions. A figure that a round does not have is null or undefined and is passed over, never counted as 0. A ratio
 * compares two figures of the same round, so that what disturbs the whole machine for a while disturbs both.
 */

/** The middle of some numbers, or null if there is none. */
export function median(values) {
  const sorted = known(values).sort((a, b) => a - b)
  if (sorted.length === 0) return null
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

/** Smallest, middle and largest of some numbers, and how many they are; null if there is none. */
export function spread(values) {
  const all = known(values)
  if (all.length === 0) return null
  return { min: Math.min(...all), median: median(all), max: Math.max(...all), count: all.length }
}

/** The ratio of each round: `mine[n] / reference[n]`; null where a round lacks one of the two, or the reference is 0. */
export function ratiosByRound(mine, reference) {
  return mine.map((value, round) => {
    const base = reference[round]
    return isKnown(value) && isKnown(base) && base !== 0 ? value / base : null
  })
}

/** {@link spread} of {@link ratiosByRound}. */
export function ratioSpread(mine, reference) {
  return spread(ratiosByRound(mine, reference))
}

/** Three digits that count, for people: 1234567 is `1,230,000`, 0.01234 is `0.0123`, nothing is `-`. */
export function figureText(value) {
  if (!isKnown(value)) return '-'
  if (value === 0) return '0'
  const digits = Math.max(0, Math.min(4, 2 - Math.floor(Math.log10(Math.abs(value)))))
  if (digits > 0) return value.toFixed(digits)
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.abs(value))) - 2)
  return (Math.round(value / unit) * unit).toLocaleString('en-US')
}

/** `min / median / max`, for people. */
export function spreadText(of, text = ratioText) {
  return of === null || of === undefined ? '-' : `${text(of.min)} / ${text(of.median)} / ${text(of.max)}`
}

/** A ratio with two decimals. */
export function ratioText(value) {
  return isKnown(value) ? value.toFixed(2) : '-'
}

/** Bytes in the unit that suits them. */
export function bytesText(value) {
  if (!isKnown(value)) return '-'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const at = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10))
  const scaled = value / 1024 ** at
  return `${Number.isInteger(scaled) || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${units[at]}`
}

function isKnown(value) {
  return typeof value === 'number' && Number.isFinite(value)
}

function known(values) {
  return values.filter(isKnown)
}
