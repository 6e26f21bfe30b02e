/**
 * Words of dm's grammar: a list that is read from the front, words that may be shortened, and whole numbers.
 *
 * Pure. A number is the whole word, a shortened word is taken only where it can mean one thing, and an empty word is
 * never anything.
 */
import { parseCount, type Range } from '@sitelink/daemon/light'
import { refuse, refuseMissing, refusing, type Errno } from './refusal.js'

/** Words that are read from the front. */
export class Words {
  readonly #words: readonly string[]
  #at = 0

  constructor(words: readonly string[]) {
    this.#words = words
  }

  get left(): number {
    return this.#words.length - this.#at
  }

  /** The next word without taking it; null at the end. */
  peek(): string | null {
    return this.#words[this.#at] ?? null
  }

  /** The next word. `what` says in a refusal what is missing. */
  next(what: string, errno: Errno = 'EINVAL'): string {
    const word = this.#words[this.#at]
    if (word === undefined) return refuseMissing(errno, `${what} is missing`)
    this.#at += 1
    return word
  }

  /** The next so many words, as a list of their own. */
  take(count: number): Words {
    const taken = this.#words.slice(this.#at, this.#at + count)
    this.#at += count
    return new Words(taken)
  }

  /** A count of parameters, which must be there. `allowed`: as text, for the refusal. */
  count(what: string, min: number, max: number): Words {
    const word = this.next(`the count of ${what} parameters`)
    const count = number(word, `count of ${what} parameters`, { min, max })
    if (count > this.left) refuse('EINVAL', word, `${what} parameters are announced, ${this.left} words are left`)
    return this.take(count)
  }

  /** Refuses a word that nobody asked for. */
  end(of: string): void {
    const word = this.peek()
    if (word !== null) refuse('EINVAL', word, `is a word too many ${of}`)
  }
}

/** A whole number; `what` names it in a refusal. */
export function number(word: string, what: string, range: Range = {}, errno: Errno = 'EINVAL'): number {
  return refusing(errno, word, () => parseCount(word, what, range))
}

interface ChoiceOptions {
  readonly errno?: Errno
  readonly ignoreCase?: boolean
  /** May be shortened to any prefix that only one of the choices has. */
  readonly shortened?: boolean
}

/** The one of `choices` that `word` stands for. */
export function choice<const C extends string>(
  word: string,
  what: string,
  choices: readonly C[],
  { errno = 'EINVAL', ignoreCase = false, shortened = true }: ChoiceOptions = {},
): C {
  const list = choices.join(', ')
  if (word === '') return refuse(errno, word, `is an empty word where ${what} is wanted: ${list}`)
  const given = ignoreCase ? word.toLowerCase() : word
  const exact = choices.find((one) => one === given)
  if (exact !== undefined) return exact
  const found = shortened ? choices.filter((one) => one.startsWith(given)) : []
  if (found.length > 1) refuse(errno, word, `may mean ${found.join(' or ')}`)
  return found[0] ?? refuse(errno, word, `is no ${what}: ${list}`)
}
