/**
 * One JSON log line as a line for a terminal:
 *
 *   17:05:01.123 WARN  slink is behind  slink=1 lsn=4711
 *
 * Pure. What it cannot parse it passes on unchanged, so that nothing is lost; control characters are made visible.
 */
import { printable } from './error-template.js'

const COLOURS: Readonly<Record<string, string>> = {
  trace: '90',
  debug: '90',
  info: '32',
  warn: '33',
  error: '31',
  fatal: '1;31',
}
const OWN_KEYS: readonly string[] = ['level', 'time', 'pid', 'name', 'message', 'error']

/** `colour` false leaves out the escape sequences. */
export function prettyLine(line: string, colour = true): string {
  const record = parse(line)
  if (record === null) return line
  const level = String(record['level'] ?? '')
  const name = level.toUpperCase().padEnd(5)
  const shown = colour ? `\u001b[${COLOURS[level] ?? '0'}m${name}\u001b[0m` : name
  const facts = Object.entries(record).filter(([key]) => !OWN_KEYS.includes(key))
  const { text: error, stack } = errorText(record['error'])
  const words = [...facts.map(([key, value]) => `${key}=${valueText(value)}`), ...(error === '' ? [] : [error])]
  const time = String(record['time'] ?? '').slice(11, 23)
  return `${time} ${shown} ${printable(String(record['message'] ?? ''))}${words.length > 0 ? `  ${words.join(' ')}` : ''}\n${stack}`
}

function parse(line: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(line) as unknown
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

function valueText(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return /^[^\s"=]+$/.test(text) || typeof value !== 'string' ? printable(text) : JSON.stringify(text)
}

function errorText(error: unknown): { text: string; stack: string } {
  if (typeof error !== 'object' || error === null)
    return { text: error === undefined ? '' : `error=${valueText(error)}`, stack: '' }
  const { code, message, stack } = error as { code?: unknown; message?: unknown; stack?: unknown }
  const text = `error=${code === undefined ? '' : `${String(code)} `}${JSON.stringify(String(message))}`
  return {
    text: printable(text),
    stack:
      typeof stack === 'string'
        ? `${stack
            .split('\n')
            .map((at) => `    ${printable(at)}`)
            .join('\n')}\n`
        : '',
  }
}
