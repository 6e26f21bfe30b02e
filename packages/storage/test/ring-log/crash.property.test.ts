/**
 * The log under crashes: whatever is lost, kept or torn of what was not synced, the log is afterwards a prefix of what was
 * appended, holds everything that was durable (and after the death of a process everything that was written), and never
 * shows again what an earlier recovery cut.
 *
 * SEED=... repeats a run; RUNS=... makes more of them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Frame } from '@sitelink/protocol/entry'
import type { LogEntry } from '../../src/ring-log/contract.js'
import { LogError } from '../../src/ring-log/log-error.js'
import { FaultDisk, Prng, seedFromEnv } from '../../src/testing/index.js'
import { append, Bench, foreignFrame, MIB, readAll, type Opened } from './support.js'

const RUNS = Number(process.env['RUNS'] ?? 40)

/** What must be true of the log, and what may be. */
class Model {
  /** Every entry of the present history by ordinal (LSN in a replog, count in a journal). */
  readonly frames: Frame[] = []
  durableCount = 0
  writtenCount = 0
  /** Entries that the owner gave up. */
  releasedCount = 0
  everCut = 0
  resizes = 0

  /** After a crash: at least `floor` entries are left, and what is left is a prefix. */
  recovered(kept: readonly LogEntry[], firstOrdinal: number, lastOrdinal: number, floor: number): void {
    assert.ok(firstOrdinal <= this.releasedCount + 1 || kept.length === 0, 'nothing that is still needed was freed')
    assert.ok(lastOrdinal >= floor, `entries up to ${floor} were promised, ${lastOrdinal} came back`)
    assert.ok(lastOrdinal <= this.frames.length, 'nothing came back that was never appended, or was cut')
    kept.forEach((entry, index) => {
      const expected = this.frames[firstOrdinal + index - 1] as Frame
      assert.ok(
        entry.frame.header.equals(expected.header),
        `entry ${firstOrdinal + index} is the one that was appended`,
      )
      assert.ok((entry.frame.payload ?? Buffer.alloc(0)).equals(expected.payload ?? Buffer.alloc(0)), 'with its bytes')
    })
    this.everCut += this.frames.length - lastOrdinal
    this.frames.length = lastOrdinal
    this.durableCount = lastOrdinal
    this.writtenCount = lastOrdinal
  }
}

interface World {
  readonly bench: Bench
  readonly prng: Prng
  readonly model: Model
  readonly rule: 'dense' | 'monotone'
  /** It is made larger and smaller as well. */
  readonly resized: boolean
  /** A resize lets the writers wait. */
  isHeld: boolean
}

const SOURCE = { high: 7, low: 7 }

function burst(world: World, opened: Opened, entries: LogEntry[]): void {
  const { prng } = world
  if (world.isHeld) return
  const count = prng.between(1, prng.pick([1, 4, 40]))
  for (let each = 0; each < count; each++) {
    const length = prng.pick([0, 100, 512, 4000, 4096, prng.below(9000), prng.below(9000), prng.below(40_000)])
    if (!opened.log.hasRoom(1, length)) return
    pushOne(world, opened, entries, length)
  }
}

/** The journal gets frames of another log whose LSNs hardly tell them apart, as in a resync. */
function pushOne(world: World, { log }: Opened, entries: LogEntry[], length: number): void {
  const { prng, model, rule } = world
  let entry: LogEntry
  if (rule === 'dense') entry = append(log, length)
  else
    entry = log.append(
      foreignFrame(
        SOURCE,
        1 + Math.floor(log.incarnation.number / 2),
        Math.max(1, model.frames.at(-1)?.lsn ?? 1),
        length,
        { aux: prng.u32() },
      ),
    )
  model.frames.push(entry.frame)
  entries.push(entry)
}

const REFUSALS: readonly string[] = [
  'LOG_RESIZE_USED',
  'LOG_RESIZE_BUSY',
  'LOG_RESIZE_PIECES',
  'LOG_RESIZE_BEHIND',
  'LOG_CLOSED',
]

/** Begins; when it ends, or whether a crash comes first, is left open. */
function resize(world: World, { log }: Opened): void {
  const { prng, model } = world
  const sizeBytes = 2 * MIB + (prng.chance(0.5) ? prng.below(400) * 4096 : prng.below(40) * 4096) + prng.below(4096)
  const hold = (): (() => void) => {
    world.isHeld = true
    return () => {
      world.isHeld = false
    }
  }
  log.resize({ sizeBytes, hold, overwrite: prng.chance(0.9), sparse: prng.chance(0.3) }).then(
    () => void model.resizes++,
    (error: unknown) => assert.ok(error instanceof LogError && REFUSALS.includes(error.code), String(error)),
  )
}

async function verify(world: World, opened: Opened, floor: number): Promise<LogEntry[]> {
  const items = await readAll(world.bench, opened.log)
  assert.deepEqual(opened.report.holes, [], 'a crash makes no holes')
  const entries = items.map((item) => {
    assert.ok('frame' in item, 'no hole is read')
    return item
  })
  const { model, rule } = world
  if (rule === 'dense') {
    const last = opened.log.lastLsn
    model.recovered(entries, last - entries.length + 1, last, floor)
    return entries
  }
  // A journal's frames are told apart by their bytes: the first one that is left is found in the history.
  const first = entries[0]
  const at =
    first === undefined
      ? model.releasedCount
      : model.frames.findIndex((frame) => frame.header.equals(first.frame.header))
  assert.ok(at >= 0, 'what came back was appended')
  model.recovered(
    entries,
    at + 1,
    first === undefined ? Math.max(floor, model.releasedCount) : at + entries.length,
    floor,
  )
  return entries
}

async function live(world: World, opened: Opened, entries: LogEntry[]): Promise<void> {
  const { bench, prng, model } = world
  const { log, recorder } = opened
  const countBelow = (position: number): number => {
    const index = entries.findIndex((entry) => entry.position < 0 || entry.end > position)
    return model.frames.length - (index < 0 ? 0 : entries.length - index)
  }
  const giveUp = (which: number): void => {
    const entry = entries.filter(({ position, end }) => position >= 0 && end <= log.durableEnd).at(which)
    if (entry === undefined) return
    log.releaseBelow(entry.end)
    model.releasedCount = Math.max(model.releasedCount, countBelow(entry.end))
  }
  for (let steps = prng.between(0, 12); steps > 0; steps--) {
    if (world.resized && prng.chance(0.3)) resize(world, opened)
    switch (prng.below(7)) {
      case 0:
      case 1:
      case 2:
        burst(world, opened, entries)
        break
      case 3:
        log.requestSync()
        break
      case 4:
        giveUp(-prng.between(1, 30))
        break
      case 5:
        // Large entries until the ring is full, then half of it or all is given up: the next ones reuse it.
        for (let length = 200_000; !world.isHeld && log.hasRoom(1, length);) pushOne(world, opened, entries, length)
        log.requestSync()
        await bench.clock.advance(20)
        giveUp(prng.chance(0.5) ? -1 : -4)
        for (let count = prng.below(6); count > 0 && !world.isHeld && log.hasRoom(1, 150_000); count--)
          pushOne(world, opened, entries, 150_000)
        break
      case 6:
        await bench.clock.runUntil(log.writeSuperblock())
        break
    }
    await bench.clock.advance(prng.pick([0, 1, 3, 10, 150, 400]))
  }
  model.durableCount = Math.max(
    model.durableCount,
    recorder.durablePosition === 0 ? 0 : countBelow(recorder.durablePosition),
  )
  model.writtenCount = Math.max(model.writtenCount, countBelow(log.writtenEnd))
}

/** Opens, now and then dying in the middle of it, at any write. */
async function openThroughCrashes(
  world: World,
  disk: FaultDisk,
  powerLost: boolean,
): Promise<{ opened: Opened; powerLost: boolean }> {
  const { bench, prng } = world
  for (;;) {
    if (!prng.chance(0.3)) return { opened: await bench.open(disk), powerLost }
    const process = bench.clock.process()
    disk.startTrace()
    await bench.open(disk, {}, process)
    process.kill()
    const middle = disk.at(prng.below(disk.trace.length + 1), prng)
    if (prng.chance(0.5)) {
      powerLost = true
      disk = middle.powerCut({ kind: 'random' })
    } else disk = middle.crashProcess()
    disk = new FaultDisk(
      { sizeBytes: disk.sizeBytes, prng, clock: bench.clock, latency: LATENCY },
      { medium: disk.medium },
    )
  }
}

const LATENCY = { writeMs: [0.01, 3], syncMs: [0.5, 8] } as const

async function run(seed: string, rule: 'dense' | 'monotone', resized = false): Promise<Model> {
  const bench = new Bench(seed, rule)
  const prng = bench.prng.fork('run')
  const world: World = { bench, prng, model: new Model(), rule, resized, isHeld: false }
  const sizeBytes = 2 * MIB + prng.below(40) * 4096 + prng.below(4096)
  let disk = new FaultDisk({ sizeBytes, prng: prng.fork('disk'), clock: bench.clock, latency: LATENCY })
  let lost = false
  let floor = 0
  for (let lives = prng.between(2, 6); lives > 0; lives--) {
    const { opened, powerLost } = await openThroughCrashes(world, disk, lost)
    world.isHeld = false
    disk = opened.disk
    const { model } = world
    const entries = await verify(world, opened, powerLost ? model.durableCount : floor)
    await live(world, opened, entries)
    assert.equal(opened.recorder.failure, null)
    const end = prng.below(5)
    lost = end < 3
    if (end === 4) {
      await bench.clock.runUntil(opened.log.close())
      model.durableCount = model.frames.length
      disk = disk.crashProcess()
    } else disk = lost ? disk.powerCut({ kind: 'random' }) : disk.crashProcess()
    floor = lost ? model.durableCount : end === 4 ? model.frames.length : model.writtenCount
  }
  const opened = await bench.open(disk)
  await verify(world, opened, floor)
  return world.model
}

async function runs(title: string, one: (seed: string) => Promise<Model>): Promise<{ resizes: number }> {
  const base = seedFromEnv(title)
  let cut = 0
  let resizes = 0
  for (let index = 0; index < RUNS; index++) {
    const seed = `${base}/${index}`
    try {
      const model = await one(seed)
      cut += model.everCut
      resizes += model.resizes
    } catch (error) {
      throw new Error(`run ${index} of SEED=${base} failed: ${(error as Error).message}`, { cause: error })
    }
  }
  assert.ok(RUNS < 100 || cut > 0, 'some of the crashes cut something')
  return { resizes }
}

for (const rule of ['dense', 'monotone'] as const) {
  test(`[REC-01] [REC-16] a ${rule} log survives every crash with all that it promised`, async () => {
    await runs(`ring log crashes (${rule})`, (seed) => run(seed, rule))
  })

  test(`[REC-17] a ${rule} log that is resized again and again survives every crash with all that it promised`, async () => {
    const { resizes } = await runs(`ring log crashes while resized (${rule})`, (seed) => run(seed, rule, true))
    assert.ok(RUNS < 10 || resizes > RUNS, `${resizes} resizes were ended`)
  })
}
