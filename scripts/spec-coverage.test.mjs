/**
 * Canaries for the page of covered rows: what counts as a test of a row, and what does not.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { coverage, coveragePage, testsWithIds } from './lib/spec-coverage-page.mjs'

test('a row counts only if a test name starts with its id in brackets', () => {
  const text = [
    "test('[WR-01] an answer waits', f)",
    'it("[WR-02] [WR-03] two rows", f)',
    'describe(`[WR-04] a suite`, f)',
    "test('mentions [WR-05] late', f)",
    '// [WR-06] only a comment',
    "const x = '[WR-07] no test'",
  ].join('\n')
  assert.deepEqual(
    testsWithIds(text).flatMap((each) => each.ids),
    ['WR-01', 'WR-02', 'WR-03', 'WR-04'],
  )
})

test('the page names the tests of covered rows and calls the others open', () => {
  const rows = [
    { id: 'WR-01', title: 'first' },
    { id: 'WR-02', title: 'second' },
  ]
  const page = coveragePage(coverage(rows, [{ path: 'test/a.test.ts', text: "test('[WR-01] a | b', f)" }]))
  assert.match(page, /\| WR-01 \| first \| a \\\| b \(`test\/a\.test\.ts`\) \|/)
  assert.match(page, /\| WR-02 \| second \| open \|/)
  assert.match(page, /1 of 2 rows/)
})

test('a row that is deliberately different says what stands instead, and is not counted as tested for that', () => {
  const rows = [{ id: 'SLK-15', title: 'a limit', instead: 'it is refused' }]
  const page = coveragePage(coverage(rows, []))
  assert.match(page, /\| SLK-15 \| a limit \| instead: it is refused \|/)
  assert.match(page, /0 of 1 rows have tests; 1 are deliberately different/)
})

test('a row that is left for later is neither tested nor open, and is listed apart with what there is until then', () => {
  const rows = [
    { id: 'MGT-09', title: 'a switch-over', later: 'roles stay' },
    { id: 'MGT-01', title: 'names' },
  ]
  const page = coveragePage(coverage(rows, []))
  assert.match(page, /0 of 2 rows have tests; 0 are deliberately different; 1 are later; 1 are open/)
  assert.match(page, /## Later\n[^#]*\| MGT-09 \| a switch-over \| roles stay \|/)
  assert.match(page, /\| MGT-09 \| a switch-over \| \[later\]\(#later\) \|/)
  assert.match(page, /\| MGT \| .* \| 2 \| 0 \| 0 \| 1 \| 1 \|/)
})

test('only rows of roles and failover may be left for later, and none that has a test or something instead', () => {
  const one = [{ path: 'test/a.test.ts', text: "test('[MGT-09] a', f)" }]
  assert.throws(() => coverage([{ id: 'WR-01', title: 'first', later: 'no time' }], []), /WR-01 may not be left/)
  assert.throws(
    () => coverage([{ id: 'MGT-09', title: 'swap', later: 'x' }], one),
    /MGT-09 is called later, and has a test/,
  )
  assert.throws(
    () => coverage([{ id: 'MGT-09', title: 'swap', later: 'x', instead: 'y' }], []),
    /has something instead/,
  )
})
