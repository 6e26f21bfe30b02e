/**
 * Data as text is: words of a language that nobody speaks, as often as in one that is spoken, in sentences and records.
 *
 * Pure: the same seed is the same text. Nothing longer than a word comes twice but by chance, so that a compressor finds no
 * more in it than in prose.
 */

/** As many words as a text of some length has; the n-th comes 1/n as often as the first. */
const WORDS = 8000
const SYLLABLES =
  'a e i o u an en in on un ar er or al el is us ta te ti to na ne ra re ri ro la le li lo sa se si so ma me mi'
const STARTS = 'b c d f g h j k l m n p r s t v w z br ch cl dr fl gr pl pr sh st th tr'

/** A buffer of so many bytes of text. */
export function textLike(bytes, seed = 1) {
  const random = generator(seed)
  const pick = (list) => list[Math.floor(random() * list.length)]
  const [syllables, starts] = [SYLLABLES.split(' '), STARTS.split(' ')]
  const words = Array.from({ length: WORDS }, (_, at) => {
    // What is said often is short.
    const length = 1 + Math.floor(random() * Math.min(4, 1 + Math.log10(at + 1)))
    return Array.from({ length }, () => pick(starts) + pick(syllables)).join('')
  })
  const parts = []
  let size = 0
  const add = (part) => {
    parts.push(part)
    size += part.length
  }
  while (size < bytes) {
    if (random() < 0.3) add(`${Math.floor(random() * 1e6)}, ${(random() * 1000).toFixed(2)}; `)
    for (let left = 4 + Math.floor(random() * 16); left > 0; left--) {
      // Equally often from each power of the rank: that is Zipf's law.
      const word = words[Math.floor(WORDS ** random()) - 1]
      add(left === 1 ? `${word}.\n` : `${word} `)
    }
  }
  return Buffer.from(parts.join('').slice(0, bytes), 'latin1')
}

function generator(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
