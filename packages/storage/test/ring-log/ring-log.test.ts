/** The ring log as its owner sees it: append, durability, reading back, closing and opening again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { append, Bench, lsnsOf, payloadFor, readAll, upTo } from './support.js'

test('entries come back in order after a clean stop, and from memory before', async () => {
  const bench = new Bench()
  const { log, recorder, disk } = await bench.open(bench.disk())
  for (const length of [0, 1, 511, 512, 4000, 4096, 70_000]) append(log, length)
  assert.equal(recorder.written_.length, 0)
  await bench.clock.settle()
  assert.equal(recorder.written_.length, 7)
  assert.equal(recorder.submittedCount, 7)
  assert.deepEqual(lsnsOf(await readAll(bench, log)), upTo(7))
  assert.equal(recorder.durableLsn, 0)
  await bench.clock.advance(100)
  assert.equal(recorder.durableLsn, 7)
  await bench.clock.runUntil(log.close())

  const again = await bench.open(disk.alive ? disk : disk.crashProcess())
  assert.equal(again.report.cleanStop, true)
  assert.equal(again.report.entriesFound, 7)
  assert.equal(again.log.lastLsn, 7)
  const items = await readAll(bench, again.log)
  assert.deepEqual(lsnsOf(items), upTo(7))
  for (const item of items) {
    assert.ok('frame' in item)
    if (item.frame.payload !== null) assert.ok(item.frame.payload.equals(payloadFor(item.frame.lsn, item.frame.length)))
  }
})
