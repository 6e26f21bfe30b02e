/**
 * Where a JSON text goes wrong, as line and column.
 *
 * Pure. `JSON.parse` decides what is valid; only when it has refused a text is this asked, because Node's messages name
 * a position sometimes, and a line never.
 */

/** The result of {@link parseJson}. `line` and `column` start at 1, the column counts UTF-16 units. */
export type JsonResult =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'invalid'; readonly why: string; readonly line: number; readonly column: number }

const WHITE = /[ \t\n\r]*/y
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
// oxlint-disable-next-line no-control-regex -- JSON forbids bare control characters in strings
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const WORD = /true|false|null/y

/** Nesting that the scanner follows; deeper text is reported where it passes this. */
const DEPTH_MAX = 1000

/** Parses `text`, a byte order mark at its start aside. */
export function parseJson(text: string): JsonResult {
  const body = text.startsWith('\ufeff') ? text.slice(1) : text
  try {
    return { kind: 'value', value: JSON.parse(body) as unknown }
  } catch {
    const { at, why } = new Scanner(body).findFault()
    const before = body.slice(0, at).split('\n')
    return { kind: 'invalid', why, line: before.length, column: (before.at(-1) ?? '').length + 1 }
  }
}

class Fault extends Error {}

class Scanner {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  findFault(): { at: number; why: string } {
    try {
      this.#value(0)
      this.#take(WHITE)
      if (this.#at < this.#text.length) this.#fail('nothing more')
    } catch (error) {
      if (error instanceof Fault) return { at: this.#at, why: error.message }
      throw error
    }
    return { at: this.#at, why: 'it cannot be parsed' }
  }

  #value(depth: number): void {
    this.#take(WHITE)
    if (depth > DEPTH_MAX) this.#fail(`at most ${DEPTH_MAX} levels`)
    const char = this.#text[this.#at]
    if (char === '{') return this.#list('}', () => this.#member(depth))
    if (char === '[') return this.#list(']', () => this.#value(depth + 1))
    if (char === '"') return this.#string('a string that ends on this line and has valid escapes')
    if (!this.#take(WORD) && !this.#take(NUMBER)) this.#fail('a value')
  }

  #list(close: string, item: () => void): void {
    this.#at += 1
    this.#take(WHITE)
    if (this.#skip(close)) return
    for (;;) {
      item()
      this.#take(WHITE)
      if (this.#skip(close)) return
      if (!this.#skip(',')) this.#fail(`"," or "${close}"`)
    }
  }

  #member(depth: number): void {
    this.#take(WHITE)
    this.#string('a key in double quotes')
    this.#take(WHITE)
    if (!this.#skip(':')) this.#fail('":"')
    this.#value(depth + 1)
  }

  #string(expected: string): void {
    if (!this.#take(STRING)) this.#fail(expected)
  }

  #skip(char: string): boolean {
    if (this.#text[this.#at] !== char) return false
    this.#at += 1
    return true
  }

  #take(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (match === null) return false
    this.#at += match[0].length
    return match[0].length > 0
  }

  #fail(expected: string): never {
    throw new Fault(this.#at >= this.#text.length ? `it ends where ${expected} is expected` : `${expected} is expected`)
  }
}
