/** The age of what a start found. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LagLedger } from '../../src/group/lag-ledger.js'
import { OldEntries } from '../../src/group/old-entries.js'

test('an entry that a start found is as old as the nearest stamp at or before it', () => {
  const old = new OldEntries(100)
  assert.equal(old.oldestAboveUs(5), null)
  old.note(50, 5000)
  old.note(10, 1000)
  old.note(101, 9999)
  for (const [received, us] of [
    [8, null],
    [9, 1000],
    [48, 1000],
    [49, 5000],
    [99, 5000],
    [100, null],
  ] as const)
    assert.equal(old.oldestAboveUs(received), us, `received ${received}`)
  for (let lsn = 1; lsn <= 100; lsn += 1) old.note(lsn, lsn)
})

test('a wall clock that went back makes no age negative, and what was appended here has its age from the clock that never does', () => {
  const ledger = new LagLedger(10, 0, 1000)
  ledger.old.note(3, 9_000_000_000)
  assert.equal(ledger.reportedAgeMs(2, 1500, 1_000_000), 500)
  assert.equal(ledger.reportedAgeMs(2, 1500, 9_060_000_000), 60_000)
  ledger.note(11, 5, 1200)
  assert.equal(ledger.reportedAgeMs(10, 1500, 9_990_000_000), 300)
  assert.equal(ledger.reportedAgeMs(11, 1500, 9_990_000_000), 0)
})
