/**
 * A seeded source of randomness for tests, and the seed: from the environment (`SEED=...`) or new, and always printed.
 */
import type { Random } from '../../src/index.js'

/** xorshift128; small, fast, the same everywhere. Not for identities. */
export class SeededRandom implements Random {
  readonly #state: Uint32Array

  constructor(seed: number) {
    this.#state = Uint32Array.of(seed >>> 0 || 1, 0x9e3779b9, 0x243f6a88, 0xb7e15162)
    for (let index = 0; index < 20; index++) this.next()
  }

  /** An unsigned 32-bit integer. */
  next(): number {
    const s = this.#state
    let t = s[3] as number
    const first = s[0] as number
    s[3] = s[2] as number
    s[2] = s[1] as number
    s[1] = first
    t ^= t << 11
    t ^= t >>> 8
    s[0] = t ^ first ^ (first >>> 19)
    return s[0]
  }

  /** An integer from 0 to `below` - 1. */
  below(below: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * below)
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  bytes(count: number): Buffer {
    const bytes = Buffer.allocUnsafe(count)
    let at = 0
    for (; at + 4 <= count; at += 4) bytes.writeUInt32LE(this.next(), at)
    for (; at < count; at++) bytes[at] = this.next() & 0xff
    return bytes
  }
}

const given = process.env['SEED']

/** The seed of this run; tests name it in what they print. */
export const SEED = given === undefined ? Math.floor(Math.random() * 0x7fff_ffff) : seedOf(given)

/** Any word is a seed, as those of the other packages are: a number is itself, the rest is hashed (FNV-1a). */
function seedOf(word: string): number {
  if (/^\d+$/.test(word)) return Number(word)
  let hash = 0x811c9dc5
  for (let at = 0; at < word.length; at++) hash = Math.imul(hash ^ word.charCodeAt(at), 0x01000193)
  return hash >>> 0
}

/** A source for one test, and the seed printed so that the run can be repeated with `SEED=...`. */
export function seeded(test: { diagnostic(message: string): void }): SeededRandom {
  test.diagnostic(`SEED=${SEED}`)
  return new SeededRandom(SEED)
}
