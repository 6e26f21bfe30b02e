/**
 * The list of newest groups: what it gives up it keeps no hold of.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogEntry } from '../../src/index.js'
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

test('what the one cursor of a log has taken is let go, and nothing else', () => {
  const recent = new RecentGroups(100 * MIB, undefined, true)
  for (let index = 0; index < 10; index += 1)
    recent.add({ position: index * MIB, bodyEnd: index * MIB + 1000, entries: [] })
  recent.taken(3 * MIB + 999)
  assert.equal(recent.from, 4 * MIB, 'a group that is taken in part is not all there')
  assert.equal(recent.group(recent.find(3 * MIB + 999))?.position, 3 * MIB, 'its rest is')
  recent.taken(3 * MIB + 1000)
  assert.equal(recent.from, 4 * MIB)
  recent.taken(9 * MIB + 1000)
  assert.equal(recent.from, Number.POSITIVE_INFINITY)
  recent.add({ position: 10 * MIB, bodyEnd: 11 * MIB, entries: [] })
  assert.equal(recent.from, 10 * MIB)
  assert.equal(recent.group(recent.find(9 * MIB + 1000))?.position, 10 * MIB, 'what follows is found behind it')
})

test('whoever stands behind a group, in front of its fill, finds the next one, also when nothing before it is held', () => {
  for (const recent of [new RecentGroups(2000, undefined, true), new RecentGroups(2000)]) {
    const add = (index: number): void =>
      recent.add({ position: index * 4096, bodyEnd: index * 4096 + 1000, entries: [] })
    const found = (position: number): number | undefined => recent.group(recent.find(position))?.position
    add(5)
    assert.equal(found(5 * 4096 - 1), undefined, 'what came before was never held')
    for (const index of [6, 7]) {
      add(index)
      recent.taken((index - 1) * 4096 + 1000)
    }
    assert.equal(found(6 * 4096 + 1000), 7 * 4096)
    add(8)
    add(9)
    assert.equal(found(7 * 4096 + 999), undefined, 'a group for which there is no room is not there')
    assert.equal(found(7 * 4096 + 1000), 8 * 4096, 'all that comes behind it is')
    recent.clear()
    add(3)
    assert.equal(found(3 * 4096 - 1), undefined, 'and after a clearing all begins anew')
  }
})

test('what was taken in a log that is read once is not handed out again, until its places are written anew', () => {
  const recent = new RecentGroups(100 * MIB, undefined, true)
  const entries = [0, 100, 200].map((position) => ({ position, end: position + 100 }) as LogEntry)
  recent.add({ position: 0, bodyEnd: 300, entries })
  assert.ok(recent.entryAt(100) === entries[1])
  recent.taken(200)
  assert.equal(recent.entryAt(100), null)
  assert.equal(recent.find(199), -1)
  assert.ok(recent.entryAt(200) === entries[2])
  recent.taken(100)
  assert.equal(recent.entryAt(100), null, 'whoever else reads below')
  recent.clear()
  recent.add({ position: 100, bodyEnd: 300, entries: entries.slice(1) })
  assert.ok(recent.entryAt(100) === entries[1])
})

test('where several read, what one has taken stays for the others', () => {
  const recent = new RecentGroups(100 * MIB)
  recent.add({ position: 0, bodyEnd: MIB, entries: [] })
  recent.taken(MIB)
  assert.equal(recent.from, 0)
})

test('small entries are bounded by their number', () => {
  const recent = new RecentGroups(100 * MIB, 10)
  const entries = (from: number, count: number): readonly LogEntry[] =>
    Array.from({ length: count }, (_, at) => ({ position: from + at, end: from + at + 1 }) as LogEntry)
  for (let at = 0; at < 5; at += 1)
    recent.add({ position: at * 100, bodyEnd: at * 100 + 50, entries: entries(at * 100, 4) })
  assert.equal(recent.from, 300, 'two groups of four, not three')
  recent.clear()
  recent.add({ position: 900, bodyEnd: 950, entries: entries(900, 10) })
  assert.equal(recent.from, 900)
})
