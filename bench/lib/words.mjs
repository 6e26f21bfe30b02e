/**
 * The words behind a verb: options with and without a value, checked.
 *
 * Pure. An option is declared once, with the function that reads its value; whatever is not declared is bad usage and
 * says what is known.
 */

/** Bad usage: what is wrong, and the exit status 64. */
export class UsageError extends Error {
  exitStatus = 64
}

/**
 * Reads words by a table of options: `{ rounds: { read: wholeNumber, or: 5 }, smoke: { flag: true } }`. The name of an
 * option is its key with hyphens (`--log-size` is `logSize`). Answers an object with every key.
 */
export function readWords(words, table) {
  const values = Object.fromEntries(Object.entries(table).map(([key, { flag, or }]) => [key, flag ? false : or]))
  const keys = new Map(Object.keys(table).map((key) => [optionName(key), key]))
  for (let at = 0; at < words.length; at++) {
    const [word, joined] = /^(--[^=]+)=(.*)$/s.exec(words[at])?.slice(1) ?? [words[at]]
    if (word === '--') continue
    const key = keys.get(word)
    if (key === undefined) throw new UsageError(`unknown option ${word}: there are ${[...keys.keys()].join(', ')}`)
    if (table[key].flag) {
      values[key] = true
      continue
    }
    const value = joined ?? words[++at]
    if (value === undefined || value === '') throw new UsageError(`${word} needs a value`)
    values[key] = table[key].read(value, word)
  }
  return values
}

function optionName(key) {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

export function text(value) {
  return value
}

/** Words between commas or blanks. */
export function list(value) {
  return value.split(/[\s,]+/).filter((word) => word !== '')
}

export function wholeNumber(value, option) {
  if (!/^[1-9]\d{0,8}$/.test(value)) throw new UsageError(`${option} needs a whole number from 1, not ${value}`)
  return Number(value)
}

export function positive(value, option) {
  const number = Number(value)
  if (!(number > 0 && number < 1e9)) throw new UsageError(`${option} needs a number above 0, not ${value}`)
  return number
}

/** Bytes, with an optional unit: 4096, 64k, 256m, 1g. */
export function size(value, option) {
  const [, digits, unit] = /^(\d+)([kmg]?)$/i.exec(value) ?? []
  const bytes = Number(digits) * 1024 ** ' kmg'.indexOf((unit || ' ').toLowerCase())
  if (!(bytes > 0)) throw new UsageError(`${option} needs a size as 64k, 256m or 1g, not ${value}`)
  return bytes
}
