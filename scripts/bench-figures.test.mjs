/** Figures, goals and choices of the bench: pure functions, judged without running anything. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { figureText, median, ratiosByRound, ratioSpread, spread } from '../bench/lib/figures.mjs'
import { textTable } from '../bench/lib/report.mjs'
import { readWords, size, UsageError, wholeNumber } from '../bench/lib/words.mjs'
import { goalsChart } from '../bench/table/chart.mjs'
import { contenders } from '../bench/table/contenders.mjs'
import { goals, judgeGoals } from '../bench/table/goals.mjs'
import { allRows, bytesOf, chooseRows } from '../bench/table/rows.mjs'
import { shuffled } from '../bench/table/seeded.mjs'

test('the median is the middle, of an even number the mean of both, of nothing nothing', () => {
  assert.deepEqual([median([3, 1, 2]), median([4, 1, 2, 3]), median([]), median([null, 7])], [2, 2.5, null, 7])
})

test('ratios are taken round by round: a slow round of both is no difference', () => {
  assert.deepEqual(ratiosByRound([10, 5, null, 8], [5, 2.5, 4, null]), [2, 2, null, null])
  assert.deepEqual(ratioSpread([10, 5], [5, 2.5]), { min: 2, median: 2, max: 2, count: 2 })
  // The ratio of the medians would be 1.
  assert.equal(ratioSpread([1, 2, 3], [3, 2, 1]).median, 1)
  assert.equal(ratioSpread([100, 1, 1], [100, 2, 2]).median, 0.5)
})

test('a round without a figure, or with a reference of 0, has no ratio', () => {
  assert.equal(ratioSpread([1, undefined], [0, 3]), null)
  assert.deepEqual(spread([undefined, Number.NaN, 2]), { min: 2, median: 2, max: 2, count: 1 })
})

test('figures for people have three digits', () => {
  const shown = [0, 0.01234, 1.234, 12.34, 123.4, 12_345, 1_234_567, null].map(figureText)
  assert.deepEqual(shown, ['0', '0.0123', '1.23', '12.3', '123', '12,300', '1,230,000', '-'])
})

test('a goal is judged by the median of its ratios, in its direction; one that was not measured is not', () => {
  const rounds = (values) => values.map((iops) => ({ iops, p50Us: iops }))
  const figures = {
    'randwrite-4k-d64': { async: rounds([9, 11, 12]), nbdkit: rounds([10, 10, 10]) },
    'randwrite-4k-d1': { async: rounds([14, 14, 1]), nbdkit: rounds([10, 10, 10]) },
  }
  const judged = judgeGoals(figures).filter(({ ratio }) => ratio !== null)
  assert.deepEqual(
    judged.map(({ metric, ratio, reached }) => [metric, ratio.min, ratio.median, ratio.max, reached]),
    [
      ['iops', 0.9, 1.1, 1.2, true],
      ['p50Us', 0.1, 1.4, 1.4, false],
    ],
  )
  assert.ok(judgeGoals({}).every(({ reached }) => reached === null))
})

test('every goal names a row of the default run and two contenders', () => {
  const rows = new Map(chooseRows().map((row) => [row.id, row]))
  const names = contenders.map(({ name }) => name)
  assert.equal(goals.length, 10)
  for (const goal of goals) {
    assert.ok(rows.get(goal.row)?.judged, goal.row)
    assert.ok(names.includes(goal.contender) && names.includes(goal.reference))
  }
})

test('rows are chosen by words, and names are unique', () => {
  const ids = (choice) => chooseRows(choice).map(({ id }) => id)
  assert.equal(new Set(ids({ all: true })).size, allRows.length)
  assert.deepEqual(ids({ only: [['fua', 'd16'], ['sustained']] }), ['fua-4k-d16', 'sustained-4k-d64'])
  assert.deepEqual(ids({ only: [['randwrite-4k-d1']] }), ['randwrite-4k-d1'])
  assert.deepEqual(ids({ only: [['nothing']] }), [])
  const kinds = new Set(allRows.map(({ kind }) => kind))
  assert.deepEqual(new Set(chooseRows({ smoke: true }).map(({ kind }) => kind)), kinds)
})

test('a burst stays below the log, the sustained row passes it three times', () => {
  const logBytes = 64 * 1024 * 1024
  for (const row of allRows) {
    const bytes = bytesOf(row, { logBytes })
    if (row.kind === 'write') assert.ok(bytes < 0.75 * logBytes && bytes % row.blockBytes === 0, row.id)
    if (row.kind === 'sustained') assert.equal(bytes, 3 * logBytes)
  }
})

test('the order follows from the seed, and everybody is in it', () => {
  const names = contenders.map(({ name }) => name)
  assert.deepEqual(shuffled(names, 'one'), shuffled(names, 'one'))
  assert.deepEqual([...shuffled(names, 'one')].sort(), [...names].sort())
  const orders = new Set(Array.from({ length: 20 }, (_, round) => shuffled(names, `seed/${round}`).join()))
  assert.ok(orders.size > 15)
})

test('options are checked', () => {
  const table = { rounds: { read: wholeNumber, or: 5 }, logSize: { read: size }, smoke: { flag: true } }
  assert.deepEqual(readWords([], table), { rounds: 5, logSize: undefined, smoke: false })
  const words = ['--rounds', '3', '--log-size=64m', '--smoke']
  assert.deepEqual(readWords(words, table), { rounds: 3, logSize: 64 * 1024 * 1024, smoke: true })
  for (const bad of [['--no'], ['--rounds'], ['--rounds', '0'], ['--log-size', '5q'], ['more']]) {
    assert.throws(() => readWords(bad, table), UsageError, bad.join(' '))
  }
})

test('columns are aligned', () => {
  assert.deepEqual(textTable(['a', 'bb'], [['long', 1]]), ['a     bb', 'long   1'])
})

test('the picture holds every goal that was measured, and nothing of what it shows is markup', () => {
  const ratio = { min: 0.5, median: 1, max: 2, count: 3 }
  const svg = goalsChart(
    [
      { ...goals[0], ratio, reached: true },
      { ...goals[1], ratio: null, reached: null },
    ],
    'A & <B>',
  )
  assert.equal(svg.match(/<circle /g).length, 1)
  assert.match(svg, /A &amp; &lt;B&gt;/)
})
