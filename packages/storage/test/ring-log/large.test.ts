/** A very large log: what an opening reads, and what a look-up costs, depend on neither its size nor its fill. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameType } from '@sitelink/protocol/entry'
import type { RingLog } from '../../src/ring-log/contract.js'
import { append, Bench, MIB, type Opened } from './support.js'

const TIB = 1024 * 1024 * MIB
const PER_TURN = 4000

/** Entries without a payload, in turns, until there are so many segments of them. */
async function fill(bench: Bench, { log, recorder }: Opened, entryCount: number): Promise<void> {
  const range = { type: FrameType.zeroes, offset: 0 } as const
  while (log.lastLsn < entryCount) {
    for (let each = 0; each < PER_TURN; each++) append(log, 0, { ...range, length: MIB })
    log.requestSync()
    await bench.clock.advance(20)
    recorder.written_.length = 0
  }
  await bench.clock.advance(1000)
}

async function costOfLookUp(bench: Bench, { log, disk }: Opened, lsn: number): Promise<number> {
  const before = disk.counts.readBytes
  const position = await bench.clock.runUntil(log.locate(lsn))
  assert.ok(position !== null)
  return disk.counts.readBytes - before
}

const middle = (log: RingLog): number => Math.floor(log.lastLsn / 2) + 17

test('[LIM-03] [LIM-07] a log of 4 TiB opens and is searched at the same cost however much is in it', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(4 * TIB), { recentBytesMax: 0 })
  await fill(bench, opened, 40_000)
  const few = await costOfLookUp(bench, opened, middle(opened.log))
  await fill(bench, opened, 400_000)
  const many = await costOfLookUp(bench, opened, middle(opened.log))
  // One index step and one group, whatever lies before.
  assert.ok(many <= 6 * MIB && many <= 3 * few + MIB, `${few} and ${many} bytes`)
  const disk = opened.disk.crashProcess()
  const before = disk.counts.readBytes
  const again = await bench.open(disk)
  const read = disk.counts.readBytes - before
  assert.equal(again.log.lastLsn, opened.log.lastLsn)
  assert.equal(again.report.entriesFound, opened.log.lastLsn)
  // The segment behind the last checkpoint, what may lie unsynced behind the end, one in 32 checkpoints.
  assert.ok(read < 100 * MIB, `an opening read ${read} bytes`)
  assert.ok(again.report.bytesScanned < 100 * MIB)
})
