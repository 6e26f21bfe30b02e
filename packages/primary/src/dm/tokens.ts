/**
 * Text to words and back, as dm reads its tables: blanks part words, a backslash takes the next character as it is.
 *
 * Pure. Empty lines and lines that begin with `#` are passed over. What is printed is read back as the same words.
 */
import { WordRefusal } from './refusal.js'

/** As long as any text of a configuration may be. */
const WORD_CHARACTERS_MAX = 4096

export interface Line {
  /** From 1. */
  readonly number: number
  readonly words: readonly string[]
}

/** The lines of `text` that say something. Throws a {@link WordRefusal} for a word that no configuration can hold. */
export function readLines(text: string): Line[] {
  const lines: Line[] = []
  let words: string[] = []
  let word: string | null = null
  let lineNumber = 1
  let startedAt = 1
  const endWord = (): void => {
    if (word !== null) words.push(checked(word))
    word = null
  }
  const endLine = (): void => {
    endWord()
    if (words.length > 0 && words[0]?.startsWith('#') !== true) lines.push({ number: startedAt, words })
    words = []
    startedAt = lineNumber + 1
  }
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '\n') {
      endLine()
      lineNumber += 1
    } else if (/\s/.test(character)) endWord()
    else if (character === '\\' && at + 1 < text.length) {
      at += 1
      if (text.charAt(at) === '\n') lineNumber += 1
      word = (word ?? '') + text.charAt(at)
    } else word = (word ?? '') + character
  }
  endLine()
  return lines
}

function checked(word: string): string {
  if (word.length > WORD_CHARACTERS_MAX)
    throw new WordRefusal('EINVAL', word, `a word has more than ${WORD_CHARACTERS_MAX} characters`)
  if (word.includes('\0')) throw new WordRefusal('EINVAL', word, 'a word holds a NUL')
  return word
}

/** A word as it is written in a table. */
export function printWord(word: string): string {
  return word.replace(/[\s\\]/g, '\\$&')
}

/** A line of words. */
export function printWords(words: readonly (string | number)[]): string {
  return words.map((word) => printWord(String(word))).join(' ')
}
