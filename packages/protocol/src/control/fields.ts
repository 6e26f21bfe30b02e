/**
 * What a field of a message may be, as data, and the one function that holds a value against it.
 *
 * Owns the vocabulary of the schema (control/schema.ts) and its checks; it knows no message. A value is taken as it is
 * or refused with a sentence that names the field; nothing is coerced, defaulted or dropped. Encoder and decoder use
 * the same rows, so that what one side may send and what the other accepts cannot differ.
 */
import { unreachable } from '../entry/assert.js'

export type Field =
  /** An integer from `min` to `max`. */
  | { readonly is: 'uint'; readonly min: number; readonly max: number }
  /** A power of two from `min` to `max`. */
  | { readonly is: 'power'; readonly min: number; readonly max: number }
  /** Text without control characters, `min` to `max` bytes of UTF-8. */
  | { readonly is: 'text'; readonly min: number; readonly max: number }
  /** Text for people, at most `max` bytes; the encoder cuts what is longer. */
  | { readonly is: 'prose'; readonly max: number }
  /** 16 lower-case hex digits. */
  | { readonly is: 'id64' }
  /** A UUID in lower case, or 16 lower-case hex digits. */
  | { readonly is: 'identity' }
  | { readonly is: 'flag' }
  | { readonly is: 'word'; readonly of: readonly string[] }
  /** Bytes, `min` to `max` of them. */
  | { readonly is: 'bytes'; readonly min: number; readonly max: number }
  | { readonly is: 'nullable'; readonly of: Field }
  | { readonly is: 'list'; readonly max: number; readonly of: Field }
  | { readonly is: 'tuple'; readonly of: readonly Field[] }
  | { readonly is: 'record'; readonly of: Fields }

export type Fields = { readonly [name: string]: Field }

const ID64 = /^[0-9a-f]{16}$/
const IDENTITY = /^(?:[0-9a-f]{16}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/

/** Why `value` is not what `field` says, as a sentence that begins with `path`; null if it is. */
export function fieldProblem(field: Field, value: unknown, path: string): string | null {
  switch (field.is) {
    case 'uint':
      if (isUnsigned(value) && value >= field.min && value <= field.max) return null
      return `${path} is not an integer from ${field.min} to ${field.max}`
    case 'power':
      if (isUnsigned(value) && value >= field.min && value <= field.max && Number.isInteger(Math.log2(value)))
        return null
      return `${path} is not a power of two from ${field.min} to ${field.max}`
    case 'text':
      if (typeof value !== 'string' || CONTROL_CHARACTER.test(value)) return `${path} is not plain text`
      return lengthProblem(Buffer.byteLength(value), field.min, field.max, path)
    case 'prose':
      if (typeof value !== 'string') return `${path} is not text`
      return lengthProblem(Buffer.byteLength(value), 0, field.max, path)
    case 'id64':
      return typeof value === 'string' && ID64.test(value) ? null : `${path} is not 16 hex digits`
    case 'identity':
      return typeof value === 'string' && IDENTITY.test(value) ? null : `${path} is not a UUID or 16 hex digits`
    case 'flag':
      return typeof value === 'boolean' ? null : `${path} is not true or false`
    case 'word':
      return typeof value === 'string' && field.of.includes(value) ? null : `${path} is none of ${field.of.join(', ')}`
    case 'bytes':
      if (!Buffer.isBuffer(value)) return `${path} is not bytes`
      return lengthProblem(value.length, field.min, field.max, path)
    case 'nullable':
      return value === null ? null : fieldProblem(field.of, value, path)
    case 'list':
      return listProblem(field, value, path)
    case 'tuple':
      return tupleProblem(field.of, value, path)
    case 'record':
      return recordProblem(field.of, value, path)
    default:
      return unreachable(field)
  }
}

/** Why `value` does not have exactly the fields of `fields`; null if it has. */
export function recordProblem(fields: Fields, value: unknown, path: string): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || Buffer.isBuffer(value)) {
    return `${path} is not a map`
  }
  const given = value as Readonly<Record<string, unknown>>
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(fields, name)) return `${path} has the unknown field "${name.slice(0, 32)}"`
  }
  for (const name of Object.keys(fields)) {
    if (!Object.hasOwn(given, name)) return `${path} lacks the field "${name}"`
    const problem = fieldProblem(fields[name] as Field, given[name], `${path}.${name}`)
    if (problem !== null) return problem
  }
  return null
}

/** `text` cut to at most `bytesMax` bytes of UTF-8, never inside a character. */
export function clipText(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= bytesMax) return text
  let end = bytesMax
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

function listProblem(field: { readonly max: number; readonly of: Field }, value: unknown, path: string): string | null {
  if (!Array.isArray(value)) return `${path} is not a list`
  if (value.length > field.max) return `${path} has ${value.length} items, at most ${field.max} are allowed`
  for (const [index, item] of value.entries()) {
    const problem = fieldProblem(field.of, item, `${path}[${index}]`)
    if (problem !== null) return problem
  }
  return null
}

function tupleProblem(fields: readonly Field[], value: unknown, path: string): string | null {
  if (!Array.isArray(value) || value.length !== fields.length) return `${path} is not a list of ${fields.length}`
  for (const [index, field] of fields.entries()) {
    const problem = fieldProblem(field, value[index], `${path}[${index}]`)
    if (problem !== null) return problem
  }
  return null
}

function isUnsigned(value: unknown): value is number {
  return Number.isSafeInteger(value) && !Object.is(value, -0)
}

function lengthProblem(bytes: number, min: number, max: number, path: string): string | null {
  if (bytes >= min && bytes <= max) return null
  return `${path} has ${bytes} bytes, allowed are ${min} to ${max}`
}
