/**
 * Templates of error texts and hints: `{name}` is replaced by the fact of that name.
 *
 * Pure. What comes from outside (a path, a peer's words) is made harmless for a terminal here and nowhere else: the
 * result never holds a control character.
 */
import type { Facts, FactValue } from './errors.js'

const PLACEHOLDER = /\{([A-Za-z][A-Za-z0-9]*)\}/g
// oxlint-disable-next-line no-control-regex -- the very characters that must not reach a terminal
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g

/** Fills `template`; a fact that is missing shows as `?`. */
export function fillTemplate(template: string, facts: Facts): string {
  return template.replace(PLACEHOLDER, (_, name: string) => {
    const value = Object.hasOwn(facts, name) ? facts[name] : undefined
    return value === undefined ? '?' : printableFact(value)
  })
}

/** Names in `template`, in order, repeated as they are. */
export function placeholdersOf(template: string): readonly string[] {
  return [...template.matchAll(PLACEHOLDER)].map((match) => match[1] ?? '')
}

/** A fact as text on one line. */
export function printableFact(value: FactValue): string {
  if (value === null) return 'unknown'
  return printable(Array.isArray(value) ? value.join(', ') : String(value))
}

/** `text` with control characters written as `\xNN`, so that nothing of it can steer a terminal. */
export function printable(text: string): string {
  return text.replace(CONTROL, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
