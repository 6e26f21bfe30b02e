/**
 * The list of newest groups: what it gives up it keeps no hold of.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecentGroups } from '../../src/ring-log/recent.js'

const MIB = 1024 * 1024

test('a group that no longer fits into the bound is let go at once, not when the list is tidied', () => {
  const recent = new RecentGroups(4 * MIB)
  for (let index = 0; index < 100; index += 1) {
    recent.add({ position: index * MIB, bodyEnd: (index + 1) * MIB, entries: [] })
  }
  assert.equal(recent.from, 96 * MIB)
  for (let index = 0; index < 96; index += 1) assert.equal(recent.group(index), undefined)
  assert.equal(recent.find(95 * MIB), -1)
  assert.ok(recent.find(97 * MIB) >= 0)
})
