import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  formatAge,
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  formatRate,
  formatTime,
  parseBoolean,
  parseChoice,
  parseCount,
  parseDurationMs,
  parseSize,
} from '../src/index.js'

/** Text of the error that `parse` throws. */
function refusal(parse: () => unknown): string {
  try {
    parse()
  } catch (error) {
    assert.equal((error as { code: string }).code, 'UNIT_INVALID')
    assert.equal((error as { exit: number }).exit, 64)
    return (error as Error).message
  }
  return assert.fail('nothing was thrown')
}

describe('a size', () => {
  for (const [word, bytes] of [
    ['0', 0],
    ['4096', 4096],
    ['4096b', 4096],
    ['1k', 1024],
    ['512m', 2 ** 29],
    ['1g', 2 ** 30],
    ['1G', 2 ** 30],
    ['2GiB', 2 ** 31],
    ['3t', 3 * 2 ** 40],
    ['7p', 7 * 2 ** 50],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ] as const) {
    it(`"${word}" is ${bytes} bytes`, () => assert.equal(parseSize(word), bytes))
  }

  for (const [word, why] of [
    ['', 'it is empty'],
    ['g', 'it does not begin with a digit'],
    ['-1g', 'it is negative'],
    ['1.5g', 'it is not a whole number'],
    ['1,5g', 'it is not a whole number'],
    ['1gx', '"gx" is no unit'],
    ['1 g', '" g" is no unit'],
    ['1g\n', '"g\\x0a" is no unit'],
    ['1gb', '"gb" may mean 1000 or 1024; "g" is a power of 1024'],
    ['0x10', '"x10" is no unit'],
    ['1e3', '"e3" is no unit'],
    ['9007199254740992', 'it is too large'],
    ['8p', 'it is too large'],
    [`${'9'.repeat(400)}`, 'it is too large'],
    [' 1', 'it does not begin with a digit'],
    ['١', 'it does not begin with a digit'],
    ['1constructor', '"constructor" is no unit'],
  ] as const) {
    it(`${JSON.stringify(word.slice(0, 20))} is refused: ${why}`, () => {
      const text = refusal(() => parseSize(word))
      assert.ok(text.endsWith(`" is not a size: ${why}`), text)
      assert.ok(text.startsWith('"'))
    })
  }

  it('is refused outside its range', () => {
    assert.equal(parseSize('1m', { min: 2 ** 20, max: 2 ** 20 }), 2 ** 20)
    assert.match(
      refusal(() => parseSize('1k', { min: 4096 })),
      /"1k" .* below 4096 bytes/,
    )
    assert.match(
      refusal(() => parseSize('2m', { max: 2 ** 20 })),
      /above 1048576 bytes/,
    )
  })
})

describe('a duration', () => {
  for (const [word, ms] of [
    ['0s', 0],
    ['500ms', 500],
    ['3s', 3000],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['2d', 172_800_000],
  ] as const) {
    it(`"${word}" is ${ms} ms`, () => assert.equal(parseDurationMs(word), ms))
  }
  it('needs its unit, and no other word', () => {
    assert.match(
      refusal(() => parseDurationMs('5')),
      /"5" is not a duration: the unit is missing/,
    )
    assert.match(
      refusal(() => parseDurationMs('5S')),
      /"S" is no unit/,
    )
    assert.match(
      refusal(() => parseDurationMs('1m30s')),
      /"m30s" is no unit/,
    )
    assert.match(
      refusal(() => parseDurationMs('300000000000d')),
      /too large/,
    )
  })
})

describe('other words', () => {
  it('are read as counts, switches and choices, or named', () => {
    assert.equal(parseCount('2047', 'slink number', { min: 1, max: 2047 }), 2047)
    assert.match(
      refusal(() => parseCount('2048', 'slink number', { max: 2047 })),
      /"2048" is not a slink number: it is above 2047/,
    )
    assert.match(
      refusal(() => parseCount('1x')),
      /"x" follows the number/,
    )
    for (const word of ['yes', 'TRUE', 'on', '1']) assert.equal(parseBoolean(word), true)
    for (const word of ['no', 'False', 'off', '0']) assert.equal(parseBoolean(word), false)
    assert.match(
      refusal(() => parseBoolean('maybe')),
      /"maybe" is not a switch/,
    )
    assert.equal(parseChoice('core', 'dirty log', ['core', 'disk']), 'core')
    assert.match(
      refusal(() => parseChoice('tape', 'dirty log', ['core', 'disk'])),
      /"tape" is not a dirty log/,
    )
  })
})

describe('numbers for eyes', () => {
  it('are bytes in at most three digits', () => {
    const expected: readonly (readonly [number | bigint | null, string])[] = [
      [0, '0 B'],
      [1, '1 B'],
      [1023, '1023 B'],
      [1024, '1 KiB'],
      [1536, '1.5 KiB'],
      [1025, '1 KiB'],
      [1126, '1.1 KiB'],
      [10 * 1024, '10 KiB'],
      [99.5 * 1024, '99.5 KiB'],
      [2 ** 20 - 1, '1 MiB'],
      [2 ** 30, '1 GiB'],
      [2n ** 63n, '8 EiB'],
      [-2048, '-2 KiB'],
      [null, '-'],
    ]
    for (const [bytes, text] of expected) assert.equal(formatBytes(bytes), text)
    assert.equal(formatRate(12.4 * 2 ** 20), '12.4 MiB/s')
    assert.equal(formatRate(null), '-')
    assert.equal(formatRate(Infinity), '-')
  })

  it('are durations in their two largest units', () => {
    const expected: readonly (readonly [number | null, string])[] = [
      [0, '0ms'],
      [0.4, '0ms'],
      [999, '999ms'],
      [999.6, '1s'],
      [1000, '1s'],
      [3240, '3.2s'],
      [9960, '10s'],
      [45_000, '45s'],
      [59_600, '1m00s'],
      [125_000, '2m05s'],
      [3_599_600, '1h00m'],
      [12_000_000, '3h20m'],
      [86_400_000 * 5 + 4 * 3_600_000, '5d04h'],
      [-1500, '-1.5s'],
      [null, '-'],
      [Infinity, '-'],
    ]
    for (const [ms, text] of expected) assert.equal(formatDuration(ms), text)
  })

  it('are counts, ages, shares and times', () => {
    assert.equal(formatCount(1, 'entry', 'entries'), '1 entry')
    assert.equal(formatCount(12_345_678n, 'entry', 'entries'), '12,345,678 entries')
    assert.equal(formatCount(null, 'slink'), '-')
    assert.equal(formatAge(1_000_000, 4_200_000), '3.2s ago')
    assert.equal(formatAge(4_200_000, 4_000_000), 'now')
    assert.equal(formatAge(9_000_000, 4_000_000), 'in 5s')
    assert.equal(formatPercent(0, 10), '0%')
    assert.equal(formatPercent(375, 1000), '37.5%')
    assert.equal(formatPercent(999_999, 1_000_000), '99.9%')
    assert.equal(formatPercent(0, 0), '100%')
    assert.equal(formatTime(1_000_000), '1970-01-01T00:00:01.000Z')
  })
})
