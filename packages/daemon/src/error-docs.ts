/**
 * The operator's page of all error codes, `docs/operating/errors.md`, generated from the registry.
 *
 * Pure. The page has one section for each slice, between two marks; every package's test compares its own section and
 * can write it anew, so that no package needs to know the others.
 */
import { factNames, type ErrorInfo, type ErrorSlice } from './errors.js'

type AnySlice = ErrorSlice<Record<string, ErrorInfo>>

const KIND_WORDS = {
  usage: 'asked wrongly',
  config: 'configuration',
  operating: 'present state, system or peer',
  corruption: 'damaged bytes',
  internal: 'bug',
} as const

/** The section of `slice`, its marks included, without a newline at the end. */
export function errorSection<T extends Record<string, ErrorInfo>>(slice: ErrorSlice<T>): string {
  const { name, codes } = slice as unknown as AnySlice
  const rows = Object.entries(codes).sort(([a], [b]) => (a < b ? -1 : 1))
  return [openMark(name), `## ${name}`, ...rows.map(([code, info]) => row(code, info)), closeMark(name)].join('\n\n')
}

/** `page` with the section of `slice` replaced, or added in the order of names. */
export function withErrorSection<T extends Record<string, ErrorInfo>>(page: string, slice: ErrorSlice<T>): string {
  const section = errorSection(slice)
  const start = page.indexOf(openMark(slice.name))
  const end = page.indexOf(closeMark(slice.name))
  if (start !== -1 && end > start)
    return page.slice(0, start) + section + page.slice(end + closeMark(slice.name).length)
  const later = [...page.matchAll(/<!-- errors:([a-z-]+) -->/g)].find((mark) => (mark[1] ?? '') > slice.name)
  if (later === undefined) return `${page.trimEnd()}\n\n${section}\n`
  return `${page.slice(0, later.index)}${section}\n\n${page.slice(later.index)}`
}

function row(code: string, info: ErrorInfo): string {
  const lines = [`### ${code}`, `> ${asPlaceholders(info.text)}`]
  if (info.about !== undefined) lines.push(info.about)
  if (info.hint !== null) lines.push(`Next: ${asPlaceholders(info.hint)}`)
  const facts = factNames(info)
  lines.push(
    `Exit status ${info.exit}; ${KIND_WORDS[info.kind]}; ${info.retry ? 'may go away by itself' : 'does not go away by itself'}${facts.length > 0 ? `; facts: ${facts.join(', ')}` : ''}.`,
  )
  return lines.join('\n\n')
}

/** `{path}` and `<prog>` in code marks, because a bare `<prog>` is HTML to a reader of Markdown. */
function asPlaceholders(template: string): string {
  return template.replace(/\{([A-Za-z0-9]+)\}|<prog>/g, (_, name: string | undefined) =>
    name === undefined ? '`PROGRAM`' : `\`${name}\``,
  )
}

function openMark(name: string): string {
  return `<!-- errors:${name} -->`
}

function closeMark(name: string): string {
  return `<!-- /errors:${name} -->`
}
