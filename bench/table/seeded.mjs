/**
 * Choices that follow from a seed: the same words give the same order on every machine.
 *
 * Pure. FNV-1a makes a number of the words, mulberry32 makes a sequence of the number.
 */

/** A whole number from 1 to 2^31 - 1 that follows from the words. */
export function numberOf(words) {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(words)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash & 0x7fffffff || 1
}

/** The same things in another order. */
export function shuffled(things, words) {
  const all = [...things]
  let state = numberOf(words)
  for (let at = all.length - 1; at > 0; at--) {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    const other = Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * (at + 1))
    ;[all[at], all[other]] = [all[other], all[at]]
  }
  return all
}
