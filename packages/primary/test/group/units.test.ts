/**
 * The small pure parts of a group: the lag ledger, who is guilty of a shortage, and what a superblock says of the owner.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Incarnation } from '@sitelink/storage'
import { Prng, seedFromEnv } from '@sitelink/storage/testing'
import { LagLedger } from '../../src/group/lag-ledger.js'
import { clampPoint, pointAt } from '../../src/group/log-points.js'
import {
  clampOwnerState,
  decodeOwnerState,
  encodeOwnerState,
  LOST_RANGES_MAX,
  type OwnerState,
} from '../../src/group/owner-state.js'
import { judgeShortage, type PinFacts, type ShortageFacts } from '../../src/group/shortage.js'
import { LEDGER_COARSE_ENTRIES, LEDGER_EXACT_ENTRIES } from '../../src/limits.js'
import { UUID } from './group-world.js'

test('[REC-06] the ledger is exact for the newest entries and never says less than the truth for older ones', () => {
  const seed = seedFromEnv('ledger')
  const prng = new Prng(seed)
  const base = prng.between(0, 100_000)
  const ledger = new LagLedger(base, 0, 50)
  const [bytes, times]: [number[], number[]] = [[0], [50]]
  let nowMs = 100
  const count = LEDGER_EXACT_ENTRIES + 5 * LEDGER_COARSE_ENTRIES
  for (let index = 1; index <= count; index += 1) {
    nowMs += prng.below(3)
    const length = prng.below(5000)
    ledger.note(base + index, length, nowMs)
    bytes.push((bytes[index - 1] as number) + length)
    times.push(nowMs)
  }
  const total = bytes[count] as number
  for (let look = 0; look < 3000; look += 1) {
    const index = prng.chance(0.2)
      ? Math.max(
          0,
          prng.pick([
            0,
            1,
            count - LEDGER_EXACT_ENTRIES - 1,
            count - LEDGER_EXACT_ENTRIES,
            count - LEDGER_EXACT_ENTRIES + 1,
            count - 1,
          ]),
        )
      : prng.below(count)
    const lsn = base + index
    const [above, age] = [total - (bytes[index] as number), times[index + 1] as number]
    const said = ledger.oldestAboveMs(lsn)
    assert.ok(said !== null)
    if (count - index < LEDGER_EXACT_ENTRIES)
      assert.deepEqual([ledger.bytesAbove(lsn), said], [above, age], `SEED=${seed} exact at ${index}`)
    assert.ok(ledger.bytesAbove(lsn) >= above && said <= age, `SEED=${seed} at ${index}`)
  }
  assert.deepEqual([ledger.bytesAbove(base + count), ledger.oldestAboveMs(base + count)], [0, null])
  assert.equal(ledger.oldestAboveMs(base - 1), 50, 'what was there before counts from the start')
  assert.throws(() => ledger.note(base + count + 2, 1, nowMs))
})

const pin = (number: number, at: number, overflow: PinFacts['overflow'], streaming = false): PinFacts => ({
  number,
  pin: at,
  overflow,
  streaming,
})
const facts = (pins: PinFacts[], more: Partial<ShortageFacts> = {}): ShortageFacts => ({
  ringBytes: 1000,
  usedBytes: 1000,
  end: 1000,
  localPin: 900,
  pins,
  starving: true,
  markingFill: 0.75,
  ...more,
})

test('a shortage is laid to the sites that hold the tail, each by its policy, and slink 0 is never dropped', () => {
  const none = { drop: [], fail: [], stall: [], local: false }
  const cases: readonly [string, ShortageFacts, ReturnType<typeof judgeShortage>][] = [
    ['nobody waits and there is room', facts([pin(1, 0, 'drop')], { starving: false, usedBytes: 750 }), none],
    [
      'marking begins with sites that are away',
      facts([pin(1, 0, 'drop'), pin(2, 0, 'drop', true)], { starving: false, usedBytes: 751 }),
      { ...none, drop: [1] },
    ],
    [
      'marking fails and stalls nobody',
      facts([pin(1, 0, 'fail'), pin(2, 0, 'stall')], { starving: false, usedBytes: 900 }),
      none,
    ],
    [
      'each by its policy',
      facts([pin(1, 0, 'drop', true), pin(2, 0, 'fail', true), pin(3, 0, 'stall', true)]),
      { drop: [1], fail: [2], stall: [3], local: false },
    ],
    [
      'those without a session go first',
      facts([pin(1, 0, 'drop'), pin(2, 0, 'fail', true), pin(3, 0, 'drop', true)]),
      { ...none, drop: [1] },
    ],
    ['only the lowest go', facts([pin(1, 0, 'drop', true), pin(2, 400, 'drop', true)]), { ...none, drop: [1] }],
    ['who is nearly caught up is not guilty', facts([pin(1, 0, 'drop'), pin(2, 890, 'drop')]), { ...none, drop: [1] }],
    ['the local devices hold the tail', facts([pin(1, 500, 'drop')], { localPin: 0 }), { ...none, local: true }],
    [
      'a site as far as the local devices frees nothing',
      facts([pin(1, 0, 'drop')], { localPin: 0 }),
      { ...none, local: true },
    ],
    ['no sites', facts([]), { ...none, local: true }],
  ]
  for (const [claim, given, expected] of cases) assert.deepEqual(judgeShortage(given), expected, claim)
})

const state: OwnerState = {
  groupUuid: UUID,
  epoch: 3,
  appliedLsn: 2 ** 40 + 7,
  slinks: [
    {
      number: 1,
      behind: false,
      dirty: true,
      wasProtected: false,
      answered: true,
      point: { incarnation: 2, lsn: 77 },
      position: 8192,
    },
    {
      number: 2047,
      behind: true,
      dirty: true,
      wasProtected: true,
      answered: false,
      point: { incarnation: 0, lsn: 0 },
      position: 0,
    },
  ],
  lost: [{ deviceId: 9, offset: 2 ** 33, length: 512 }],
}

const GOLDEN =
  '01000000' +
  '02000000' +
  '0300000000000000' +
  '0123456789abcdef0123456789abcdef' +
  '0700000000010000' +
  '01000000' +
  '00000000' +
  '0100' +
  '0a' +
  '00' +
  '02000000' +
  '4d00000000000000' +
  '0020000000000000' +
  'ff07' +
  '07' +
  '00' +
  '00000000' +
  '0000000000000000' +
  '0000000000000000' +
  '09000000' +
  '00000000' +
  '0000000002000000' +
  '0002000000000000'

test('the owner state is laid out as its file says, comes back as it went, and is refused when cut short', () => {
  const bytes = encodeOwnerState(state)
  assert.equal(bytes.toString('hex'), GOLDEN)
  assert.deepEqual(decodeOwnerState(bytes), state)
  assert.equal(decodeOwnerState(Buffer.alloc(0)), null)
  for (let length = 1; length < bytes.length; length += 1)
    assert.throws(() => decodeOwnerState(bytes.subarray(0, length)), Error, `${length} bytes`)
  assert.throws(
    () => decodeOwnerState(Buffer.concat([bytes.subarray(0, 0), Buffer.from([2, 0, 0, 0]), bytes.subarray(4)])),
    /version/,
  )
  // Numbers beyond 2^53: epoch, applied LSN, and every position, offset and length.
  for (let at = 8; at + 8 <= bytes.length; at += 8) {
    if (at === 16 || at === 24 || at === 40 || (at >= 48 && (at - 48) % 24 === 0)) continue
    const lie = Buffer.from(bytes).fill(0xff, at, at + 8)
    assert.throws(() => decodeOwnerState(lie), /impossible/, `byte ${at}`)
  }
})

test('more lost ranges than fit are stored as wider ones, never as less', () => {
  const lost = Array.from({ length: LOST_RANGES_MAX + 100 }, (_, index) => ({
    deviceId: 1 + (index % 2),
    offset: index * 4096,
    length: 512,
  }))
  const found = decodeOwnerState(encodeOwnerState({ ...state, lost }))?.lost ?? []
  assert.ok(found.length <= LOST_RANGES_MAX)
  for (const one of lost)
    assert.ok(
      found.some(
        (range) =>
          range.deviceId === one.deviceId &&
          range.offset <= one.offset &&
          range.offset + range.length >= one.offset + one.length,
      ),
    )
})

const life = (number: number, firstLsn: number): Incarnation => ({
  number,
  id: { high: number, low: number },
  firstLsn,
  firstPosition: firstLsn * 10,
  previousEnd: firstLsn * 10,
})

test('a point is named by the life that wrote its entry, also behind lives that wrote nothing', () => {
  const table = [life(3, 1), life(4, 7), life(5, 7), life(6, 9)]
  assert.deepEqual(
    [0, 1, 6, 7, 8, 9].map((lsn) => pointAt(lsn, table).incarnation),
    [0, 3, 3, 5, 5, 6],
  )
  assert.deepEqual(clampPoint({ incarnation: 4, lsn: 30 }, table), { incarnation: 3, lsn: 6 })
})

test('stored positions are clamped to the end of their own life, and a forgotten one is behind', () => {
  const table = [life(2, 50), life(3, 100), life(4, 120)]
  const clamped = (incarnation: number, lsn: number): number | null =>
    clampPoint({ incarnation, lsn }, table)?.lsn ?? null
  assert.deepEqual(
    [
      clamped(2, 99),
      clamped(2, 100),
      clamped(2, 500),
      clamped(3, 110),
      clamped(3, 130),
      clamped(4, 130),
      clamped(1, 10),
      clamped(9, 10),
    ],
    [99, 99, 99, 110, 119, 130, null, null],
  )
  assert.deepEqual(
    clampPoint({ incarnation: 0, lsn: 0 }, table),
    { incarnation: 0, lsn: 0 },
    'nothing yet is nothing in every life',
  )
  const slink = (number: number, incarnation: number, lsn: number, position: number) => ({
    number,
    behind: false,
    dirty: false,
    wasProtected: false,
    answered: true,
    point: { incarnation, lsn },
    position,
  })
  const result = clampOwnerState(
    { ...state, appliedLsn: 500, slinks: [slink(1, 3, 130, 5000), slink(2, 1, 10, 5)] },
    table,
  )
  assert.equal(result.appliedLsn, 119)
  assert.deepEqual([result.slinks[0]?.point.lsn, result.slinks[0]?.position], [119, 1200])
  assert.deepEqual([result.slinks[1]?.behind, result.slinks[1]?.dirty, result.slinks[1]?.point.lsn], [true, true, 0])
})
