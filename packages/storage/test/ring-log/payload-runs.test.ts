/** Payloads that are read from the log one after the other come out of few, larger reads, and out of nothing else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogEntry } from '../../src/ring-log/contract.js'
import { RING_OFFSET_BYTES } from '../../src/ring-log/limits.js'
import { Prng, seedFromEnv } from '../../src/testing/index.js'
import { append, Bench, foreignFrame, MIB, payloadFor, type Opened } from './support.js'

/** A log of so many entries that is open anew, so that nothing of them is in memory. */
async function cold(
  bench: Bench,
  lengths: readonly number[],
): Promise<Opened & { readonly entries: readonly LogEntry[] }> {
  const { log, disk, recorder } = await bench.open(bench.disk(8 * MIB))
  for (const [at, length] of lengths.entries()) {
    append(log, length)
    if (at % 50 === 49) await bench.clock.settle()
  }
  await bench.clock.advance(1000)
  const opened = await bench.open(disk.crashProcess(), { recentBytesMax: 0 })
  return { ...opened, entries: recorder.written_ }
}

const same = (length: number, count: number): number[] => Array.from({ length: count }, () => length)

/** Reads whole payloads, so many at once, in the order of the log, as write-back does. */
async function readInOrder(bench: Bench, opened: Opened, entries: readonly LogEntry[], atOnce = 16): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let entry = entries[next++]; entry !== undefined; entry = entries[next++]) {
      const { lsn, payload } = entry.frame
      const length = payload?.length ?? 0
      const piece = await opened.log.readPayload(entry.position, 0, length)
      assert.ok(piece.equals(payloadFor(lsn, length)), `the payload of LSN ${lsn}`)
    }
  }
  await bench.clock.runUntil(Promise.all(Array.from({ length: atOnce }, worker)))
}

test('small entries that are read one after the other take few reads, whoever reads how many at once', async () => {
  for (const atOnce of [1, 16]) {
    const bench = new Bench()
    const opened = await cold(bench, same(4096, 500))
    const before = opened.disk.counts.reads
    await readInOrder(bench, opened, opened.entries, atOnce)
    const reads = opened.disk.counts.reads - before
    assert.ok(reads < 40, `${reads} reads for 500 entries`)
  }
})

test('two who read at different places do not disturb each other', async () => {
  const bench = new Bench()
  const opened = await cold(bench, same(4096, 400))
  const before = opened.disk.counts.reads
  const { entries } = opened
  await readInOrder(
    bench,
    opened,
    entries.slice(0, 200).flatMap((entry, at) => [entry, entries[200 + at] as LogEntry]),
    1,
  )
  const reads = opened.disk.counts.reads - before
  assert.ok(reads < 60, `${reads} reads for 400 entries`)
})

test('entries of any size in any order are what was written, and what is scattered is not read ahead of', async () => {
  const seed = seedFromEnv('payload runs')
  const prng = new Prng(seed)
  const bench = new Bench(seed)
  const lengths = Array.from({ length: 300 }, () => prng.pick([1, 512, 4096, 4096, 9000, 70_000]))
  const opened = await cold(bench, lengths)
  for (let round = 0; round < 10; round++) {
    const entries = prng.chance(0.5) ? opened.entries : prng.shuffle([...opened.entries])
    await readInOrder(
      bench,
      opened,
      entries.filter(() => prng.chance(0.7)),
      prng.pick([1, 4, 16]),
    )
  }
  // Of a log that was not read before: where one of the rounds ended by chance, a scattered read would go on.
  const fresh = await cold(bench, lengths)
  const scattered = fresh.entries.filter((_, at) => at % 60 === 0)
  const before = fresh.disk.counts.readBytes
  await readInOrder(bench, fresh, scattered)
  const wanted = scattered.reduce((sum, { position, end }) => sum + end - position, 0)
  assert.equal(fresh.disk.counts.readBytes - before, wanted)
})

test('a sector that cannot be read costs the entry that it is in, not its neighbours', async () => {
  const bench = new Bench()
  const opened = await cold(bench, same(4096, 100))
  const bad = opened.entries[50] as LogEntry
  opened.disk.makeUnreadable(RING_OFFSET_BYTES + bad.position + 1024, 512)
  const good = opened.entries.filter((entry) => entry !== bad)
  await readInOrder(bench, opened, good)
  await assert.rejects(bench.clock.runUntil(opened.log.readPayload(bad.position, 0, 4096)), {
    code: 'LOG_ENTRY_UNREADABLE',
  })
})

test('a flipped bit in what is read ahead is found in the entry that it hit', async () => {
  const bench = new Bench()
  const opened = await cold(bench, same(4096, 100))
  const bad = opened.entries[50] as LogEntry
  opened.disk.flipBit(RING_OFFSET_BYTES + bad.position + 2000)
  await readInOrder(
    bench,
    opened,
    opened.entries.filter((entry) => entry !== bad),
  )
  await assert.rejects(bench.clock.runUntil(opened.log.readPayload(bad.position, 0, 4096)), {
    code: 'LOG_ENTRY_UNREADABLE',
  })
})

test('what was cut and written anew is read anew', async () => {
  const bench = new Bench(1, 'monotone')
  const { log } = await bench.open(bench.disk(8 * MIB), { recentBytesMax: 0 })
  const write = async (value: number): Promise<LogEntry[]> => {
    const entries: LogEntry[] = []
    for (let at = 0; at < 40; at++) {
      entries.push(log.append(foreignFrame({ high: 1, low: 2 }, 1, value + at, 3000)))
      await bench.clock.settle()
    }
    await bench.clock.advance(1000)
    return entries
  }
  const old = await write(100)
  for (const { position } of old) await bench.clock.runUntil(log.readPayload(position, 0, 3000))
  await bench.clock.runUntil(log.truncate((old[3] as LogEntry).position))
  const anew = await write(500)
  const known = new Set(old.map(({ position }) => position))
  assert.ok(
    anew.some(({ position }) => known.has(position)),
    'positions come again',
  )
  for (const { position, frame } of anew) {
    const piece = await bench.clock.runUntil(log.readPayload(position, 0, 3000))
    assert.ok(piece.equals(frame.payload as Buffer), `LSN ${frame.lsn}`)
  }
})
