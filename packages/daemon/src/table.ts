/**
 * Text tables: columns aligned, two spaces apart, no lines drawn.
 *
 * Pure. Every row stays on one line: where the table is wider than the terminal, columns that say they may be cut are
 * cut with `…`, widest first; a number is never cut. Not in JSON, never parsed.
 */
import { printable } from './error-template.js'

export interface Column<R> {
  readonly title: string
  /** Text of the cell; control characters in it are made visible. */
  readonly cell: (row: R) => string
  /** Numbers stand right. Left unless told. */
  readonly align?: 'left' | 'right'
  /** May be cut down to this many characters where the terminal is narrow. */
  readonly charsMin?: number
}

const GAP = '  '
/** Made for the first text that needs it: that reads tables of the language library, which takes as long as thirty modules. */
let segmenter: Intl.Segmenter | null = null
const graphemesOf = (text: string): Intl.Segments =>
  (segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' })).segment(text)

/** The table with its titles, each line closed; only `empty` where there are no rows. `columns` is the terminal's width. */
export function formatTable<R>(rows: readonly R[], spec: readonly Column<R>[], columns = Infinity, empty = ''): string {
  if (rows.length === 0) return empty === '' ? '' : `${empty}\n`
  const lines = [spec.map(({ title }) => title), ...rows.map((row) => spec.map(({ cell }) => printable(cell(row))))]
  const widths = spec.map((_, index) => Math.max(...lines.map((cells) => textWidth(cells[index] ?? ''))))
  narrow(widths, spec, columns)
  return lines
    .map(
      (cells) =>
        `${cells
          .map((cell, index) => fit(cell, widths[index] ?? 0, spec[index]?.align))
          .join(GAP)
          .trimEnd()}\n`,
    )
    .join('')
}

/** Two columns, names and values, as a status shows its single facts: the values start in one column. */
export function formatPairs(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...pairs.map(([name]) => textWidth(name)))
  return pairs.map(([name, value]) => `${fit(name, width, 'left')}${GAP}${printable(value)}\n`).join('')
}

/** Columns that `text` takes on a terminal: wide characters count two, combining ones nothing. */
export function textWidth(text: string): number {
  // oxlint-disable-next-line no-control-regex -- printable ASCII is what nearly every cell is
  if (/^[\u0020-\u007e]*$/.test(text)) return text.length
  return [...graphemesOf(text)].reduce((width, { segment }) => width + graphemeWidth(segment), 0)
}

/** `text` in at most `width` columns, the last one `…` where something was cut. */
export function cutText(text: string, width: number): string {
  if (textWidth(text) <= width) return text
  let kept = ''
  let used = 0
  for (const { segment } of graphemesOf(text)) {
    used += graphemeWidth(segment)
    if (used > width - 1) break
    kept += segment
  }
  return width > 0 ? `${kept}…` : ''
}

function fit(cell: string, width: number, align: 'left' | 'right' | undefined): string {
  const text = cutText(cell, width)
  const pad = ' '.repeat(Math.max(0, width - textWidth(text)))
  return align === 'right' ? pad + text : text + pad
}

/** Takes single columns from the widest that may give one, until the table fits or nobody can. */
function narrow<R>(widths: number[], spec: readonly Column<R>[], columns: number): void {
  const total = (): number => widths.reduce((sum, width) => sum + width, GAP.length * (spec.length - 1))
  for (let excess = total() - columns; excess > 0; excess -= 1) {
    let widest = -1
    for (const [index, { charsMin }] of spec.entries()) {
      const width = widths[index] ?? 0
      if (charsMin !== undefined && width > charsMin && width > (widths[widest] ?? 0)) widest = index
    }
    if (widest === -1) return
    widths[widest] = (widths[widest] ?? 0) - 1
  }
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u

function graphemeWidth(grapheme: string): number {
  if (/^\p{Mark}+$/u.test(grapheme)) return 0
  return WIDE.test(grapheme) ? 2 : 1
}
