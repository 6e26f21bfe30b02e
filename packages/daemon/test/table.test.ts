import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cutText, formatPairs, formatTable, textWidth, type Column } from '../src/index.js'

interface Row {
  name: string
  bytes: number
  path: string
}
const columns: readonly Column<Row>[] = [
  { title: 'NAME', cell: ({ name }) => name },
  { title: 'BYTES', cell: ({ bytes }) => String(bytes), align: 'right' },
  { title: 'PATH', cell: ({ path }) => path, charsMin: 6 },
]
const rows: readonly Row[] = [
  { name: 'data', bytes: 7, path: '/dev/vg/data-of-the-application' },
  { name: 'übermäßig', bytes: 1234, path: '/dev/x' },
]

describe('a table', () => {
  it('aligns its columns, numbers to the right, and leaves no blanks at the ends', () => {
    assert.equal(
      formatTable(rows, columns),
      'NAME       BYTES  PATH\ndata           7  /dev/vg/data-of-the-application\nübermäßig   1234  /dev/x\n',
    )
  })

  it('keeps each row on a line of the terminal by cutting what may be cut', () => {
    const text = formatTable(rows, columns, 30)
    assert.equal(text, 'NAME       BYTES  PATH\ndata           7  /dev/vg/dat…\nübermäßig   1234  /dev/x\n')
    for (const line of text.split('\n')) assert.ok(textWidth(line) <= 30)
  })

  it('never cuts below what a column needs, nor a column that may not be cut', () => {
    assert.equal(formatTable(rows, columns, 5).split('\n')[1], 'data           7  /dev/…')
  })

  it('cannot be broken by what stands in its cells', () => {
    assert.equal(formatTable([{ name: 'a\nb\u001b[1m', bytes: 0, path: '' }], columns).split('\n').length, 3)
  })

  it('says what it is told where there are no rows', () => {
    assert.equal(formatTable([], columns, 80, 'no devices'), 'no devices\n')
    assert.equal(formatTable([], columns), '')
  })

  it('counts wide, combined and joined characters as a terminal does', () => {
    assert.equal(textWidth('日本'), 4)
    assert.equal(textWidth('e\u0301'), 1)
    assert.equal(textWidth('👨‍👩‍👧'), 2)
    assert.equal(cutText('日本語', 5), '日本…')
    assert.equal(cutText('abc', 3), 'abc')
    assert.equal(cutText('abc', 0), '')
  })

  it('of pairs starts the values in one column', () => {
    assert.equal(
      formatPairs([
        ['group', 'a'],
        ['incarnation', '2'],
      ]),
      'group        a\nincarnation  2\n',
    )
  })
})
