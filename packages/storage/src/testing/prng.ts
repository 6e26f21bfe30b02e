/**
 * Seeded randomness for tests and the simulator: the same seed gives the same run, on every machine.
 *
 * Owns one xoshiro128** generator, seeded through splitmix32. Not for identities or secrets. Forks are independent of
 * how much their parent is used afterwards, so that one part of a test does not shift the randomness of another.
 */
import { randomBytes } from 'node:crypto'
import { assert, type Random } from '@sitelink/protocol/entry'

const TWO_32 = 0x1_0000_0000

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}

/** A deterministic source of random numbers and bytes. */
export class Prng implements Random {
  #a = 0
  #b = 0
  #c = 0
  #d = 0

  /** Any finite number or text is a seed. */
  constructor(readonly seed: number | string) {
    let state =
      typeof seed === 'string' ? hashText(seed) : (Math.floor(seed / TWO_32) ^ Math.imul(seed >>> 0, 0x9e3779b1)) >>> 0
    const next = (): number => {
      state = (state + 0x9e3779b9) >>> 0
      let mixed = state
      mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
      return (mixed ^ (mixed >>> 15)) >>> 0
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    this.#d = next() | 1
  }

  /** An integer from 0 to 2^32 - 1. */
  u32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = rotateLeft(this.#d, 11)
    return result
  }

  /** A number from 0 inclusive to 1 exclusive, with 53 random bits. */
  float(): number {
    return ((this.u32() >>> 5) * 0x400_0000 + (this.u32() >>> 6)) / 2 ** 53
  }

  /** An integer from 0 to `bound` - 1; `bound` is from 1 to 2^53 - 1. */
  below(bound: number): number {
    assert(bound >= 1 && Number.isSafeInteger(bound), 'a bound is a positive integer')
    return bound <= TWO_32 ? Math.floor((this.u32() / TWO_32) * bound) : Math.floor(this.float() * bound)
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True with this probability (0 never, 1 always). */
  chance(probability: number): boolean {
    return this.float() < probability
  }

  /** One of the items, which are at least one. */
  pick<T>(items: readonly T[]): T {
    assert(items.length > 0, 'there is something to pick from')
    return items[this.below(items.length)] as T
  }

  /** A new array with the items in random order. */
  shuffle<T>(items: readonly T[]): T[] {
    const result = items.slice()
    for (let at = result.length - 1; at > 0; at--) {
      const other = this.below(at + 1)
      const kept = result[at] as T
      result[at] = result[other] as T
      result[other] = kept
    }
    return result
  }

  /** A new buffer of so many random bytes. */
  bytes(count: number): Buffer {
    const result = Buffer.allocUnsafe(count)
    let at = 0
    for (; at + 4 <= count; at += 4) result.writeUInt32LE(this.u32(), at)
    for (; at < count; at++) result[at] = this.u32() >>> 24
    return result
  }

  /** An independent generator; equal labels of one seed give equal generators, whatever was drawn before. */
  fork(label: string): Prng {
    return new Prng(`${this.seed}/${label}`)
  }
}

/**
 * The seed of this run: the environment variable SEED (a number or text) if it is set, else a fresh one. Prints it, so
 * that a failure can be repeated.
 */
export function seedFromEnv(label = 'seed'): number | string {
  const given = process.env['SEED']
  const seed =
    given === undefined || given === ''
      ? randomBytes(4).readUInt32LE(0)
      : /^\d{1,15}$/.test(given)
        ? Number(given)
        : given
  console.log(`${label}: SEED=${seed}`)
  return seed
}
