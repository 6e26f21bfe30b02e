/** Payloads of many entries come out of few, larger reads of the log, and out of nothing else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogEntry, PayloadPlace } from '../../src/ring-log/contract.js'
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

const placeOf = ({ position, frame }: LogEntry): PayloadPlace => ({ position, payloadBytes: frame.length })

/** Reads whole payloads as write-back does, and answers how many had to be asked for by themselves. */
async function readAll(bench: Bench, { log }: Opened, entries: readonly LogEntry[]): Promise<number> {
  const payloads = await bench.clock.runUntil(log.readPayloads(entries.map(placeOf)))
  let alone = 0
  for (const [at, { position, frame }] of entries.entries()) {
    const length = frame.payload?.length ?? 0
    let payload = payloads[at] ?? null
    if (payload === null) {
      alone++
      payload = await bench.clock.runUntil(log.readPayload(position, 0, length))
    }
    assert.ok(payload.equals(payloadFor(frame.lsn, length)), `the payload of LSN ${frame.lsn}`)
  }
  return alone
}

test('small entries that lie close together take few reads', async () => {
  const bench = new Bench()
  const opened = await cold(bench, same(4096, 500))
  const before = opened.disk.counts.reads
  assert.equal(await readAll(bench, opened, opened.entries), 0)
  const reads = opened.disk.counts.reads - before
  assert.ok(reads <= 8, `${reads} reads for 500 entries of 4 KiB`)
})

test('large entries that lie one behind the other are read together as well', async () => {
  const bench = new Bench()
  const opened = await cold(bench, same(65_536, 64))
  const before = opened.disk.counts.reads
  const alone = await readAll(bench, opened, opened.entries)
  const reads = opened.disk.counts.reads - before
  assert.ok(alone <= 1 && reads <= 14, `${reads} reads for 64 entries of 64 KiB, ${alone} of them alone`)
})

test('one that begins in the middle, and one that is split in two, are found like the others', async () => {
  const bench = new Bench()
  const opened = await cold(bench, same(4096, 100))
  const some = opened.entries.slice(33, 66)
  assert.equal(
    await readAll(
      bench,
      opened,
      some.flatMap((entry) => [entry, entry]),
    ),
    0,
  )
})

test('entries of any size, some of them or all, are what was written, and what is scattered is not read together', async () => {
  const seed = seedFromEnv('payload runs')
  const prng = new Prng(seed)
  const bench = new Bench(seed)
  const lengths = Array.from({ length: 300 }, () => prng.pick([1, 512, 4096, 4096, 9000, 70_000]))
  const opened = await cold(bench, lengths)
  for (let round = 0; round < 10; round++) {
    const share = prng.pick([1, 0.7, 0.3])
    await readAll(
      bench,
      opened,
      opened.entries.filter(() => prng.chance(share)),
    )
  }
  const scattered = opened.entries.filter((_, at) => at % 60 === 0)
  const before = opened.disk.counts.readBytes
  assert.equal(await readAll(bench, opened, scattered), scattered.length)
  const wanted = scattered.reduce((sum, { position, end }) => sum + end - position, 0)
  assert.equal(opened.disk.counts.readBytes - before, wanted)
})

test('a sector that cannot be read costs the entry that it is in, not its neighbours', async () => {
  const bench = new Bench()
  const opened = await cold(bench, same(4096, 100))
  const bad = opened.entries[50] as LogEntry
  opened.disk.makeUnreadable(RING_OFFSET_BYTES + bad.position + 1024, 512)
  const good = opened.entries.filter((entry) => entry !== bad)
  await readAll(bench, opened, good)
  await assert.rejects(bench.clock.runUntil(opened.log.readPayload(bad.position, 0, 4096)), {
    code: 'LOG_ENTRY_UNREADABLE',
  })
})

test('a flipped bit in what is read with others is found in the entry that it hit', async () => {
  const bench = new Bench()
  const opened = await cold(bench, same(4096, 100))
  const bad = opened.entries[50] as LogEntry
  opened.disk.flipBit(RING_OFFSET_BYTES + bad.position + 2000)
  await readAll(
    bench,
    opened,
    opened.entries.filter((entry) => entry !== bad),
  )
  const [before, there, behind] = [49, 50, 51].map((at) => opened.entries[at])
  const found = await bench.clock.runUntil(
    opened.log.readPayloads([before, there, behind].map((entry) => placeOf(entry as LogEntry))),
  )
  assert.equal(found[1], null, 'it is not handed out')
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
  await bench.clock.runUntil(log.readPayloads(old.map(placeOf)))
  await bench.clock.runUntil(log.truncate((old[3] as LogEntry).position))
  const anew = await write(500)
  const known = new Set(old.map(({ position }) => position))
  assert.ok(
    anew.some(({ position }) => known.has(position)),
    'positions come again',
  )
  const found = await bench.clock.runUntil(log.readPayloads(anew.map(placeOf)))
  for (const [at, { frame }] of anew.entries())
    assert.ok(found[at]?.equals(frame.payload as Buffer), `LSN ${frame.lsn}`)
})
