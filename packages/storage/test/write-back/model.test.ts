/**
 * Write-back against a plain model: random notes, limits, reads, failing writes and syncs, over several devices.
 *
 * A read that is under way while newer entries are noted may show, word by word, any state from its start on; nothing
 * older and nothing else. The seed is printed; SEED repeats a run.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameType, PayloadPool } from '@sitelink/protocol/entry'
import { Prng, seedFromEnv } from '../../src/testing/index.js'
import type { WriteBackLimits } from '../../src/write-back/limits.js'
import { applyTo, asWords, firstDifference, MIB, World } from './world.js'

const seed = seedFromEnv('write-back model')
const DEVICE_BYTES = 4 * MIB

/** Limits small enough that every one of them matters within a short run. */
export function smallLimits(prng: Prng): Partial<WriteBackLimits> {
  return {
    memoryBytesMax: prng.pick([0, 64 * 1024, 1024 * 1024]),
    layerBytes: prng.pick([16 * 1024, 128 * 1024]),
    layerIntervals: prng.pick([8, 64]),
    layerAgeMs: prng.pick([1, 20]),
    closedLayersMax: prng.pick([1, 2, 4]),
    putOffBytesMax: prng.pick([0, 64 * 1024, MIB]),
    putOffMsMax: prng.pick([50, 2000]),
    rushEntries: prng.pick([2, 8, 64]),
    syncBytes: prng.pick([64 * 1024, 1024 * 1024]),
    syncMs: prng.pick([20, 200]),
    writesInFlightMax: prng.pick([1, 4]),
    writeBytesMax: MIB,
    writePiecesMax: prng.pick([1, 3, 512]),
    logReadBytesMax: MIB,
    retryMsMin: 10,
    retryMsMax: 100,
  }
}

/** In half of the runs payloads lie in memory that is given back: few pieces, so that each is soon used again. */
function maybeLent(prng: Prng): { readonly payloads?: PayloadPool } {
  return prng.chance(0.5) ? { payloads: new PayloadPool(256 * 1024) } : {}
}

/** Notes one random entry; most of them fall into a few places, so that they overlap, and cross nothing but zeroes do. */
export function noteAnything(world: World, prng: Prng, deviceCount: number): void {
  const deviceId = 1 + prng.below(deviceCount)
  const place = prng.pick([0, MIB - 16 * 1024, MIB, 2 * MIB - 8192, DEVICE_BYTES - 32 * 1024])
  const offset = place + 4 * prng.below(4096)
  const kind = prng.below(20)
  if (kind < 16) {
    const toBoundary = MIB - (offset % MIB)
    const length = Math.min(toBoundary, prng.chance(0.1) ? 4 * prng.between(1, 32 * 1024) : 4 * prng.between(1, 2048))
    world.note({ type: kind === 0 ? FrameType.copy : FrameType.write, deviceId, offset, length }, prng.chance(0.1))
  } else if (kind < 19) {
    const length = Math.min(
      DEVICE_BYTES - offset,
      prng.chance(0.3) ? 4 * prng.between(1, (3 * MIB) / 4) : 4 * prng.between(1, 4096),
    )
    world.note({ type: prng.pick([FrameType.zeroes, FrameType.trim, FrameType.copyZeroes]), deviceId, offset, length })
  } else {
    world.note({ type: prng.pick([FrameType.marker, FrameType.skip]), deviceId: 0, offset: 0, length: 0 })
  }
}

export function allowSome(world: World, prng: Prng): void {
  const { entries } = world.log
  const first = entries.findIndex((entry) => entry.end > world.allowed)
  if (first >= 0) world.allow(entries[prng.between(first, entries.length - 1)])
}

interface ReadUnderWay {
  readonly deviceId: number
  readonly offset: number
  readonly states: Uint32Array[]
  done: boolean
}

class Reader {
  readonly #underWay = new Set<ReadUnderWay>()
  checked = 0

  constructor(readonly world: World) {}

  begin(deviceId: number, offset: number, length: number): void {
    const { model, writeBack } = this.world
    const range = (): Uint32Array => (model.get(deviceId) as Uint32Array).slice(offset / 4, (offset + length) / 4)
    const read: ReadUnderWay = { deviceId, offset, states: [range()], done: false }
    this.#underWay.add(read)
    void this.#bytes(writeBack, deviceId, offset, length).then((bytes) => {
      this.#underWay.delete(read)
      this.checked++
      const words = asWords(bytes)
      assert.equal(words.length, length / 4)
      for (let i = 0; i < words.length; i++) {
        if (read.states.some((state) => state[i] === words[i])) continue
        assert.fail(
          `device ${deviceId}, word at ${offset + i * 4}: read ${words[i]}, could be ${read.states.map((state) => state[i]).join()}`,
        )
      }
    })
  }

  /** By turns as buffers, and into one that holds something else. */
  async #bytes(writeBack: World['writeBack'], deviceId: number, offset: number, length: number): Promise<Buffer> {
    if ((offset / 4) % 2 === 0) return Buffer.concat(await writeBack.read(deviceId, offset, length))
    const around = Buffer.alloc(length + 8, 0xee)
    await writeBack.readInto(deviceId, offset, around.subarray(4, 4 + length))
    assert.deepEqual([around.readUInt32LE(0), around.readUInt32LE(length + 4)], [0xeeee_eeee, 0xeeee_eeee])
    return Buffer.from(around.subarray(4, 4 + length))
  }

  /** After each note: reads under way may see the new state too. */
  noted(deviceId: number, from: number, to: number): void {
    for (const read of this.#underWay) {
      const words = (read.states[0] as Uint32Array).length
      if (read.deviceId !== deviceId || from >= read.offset + words * 4 || to <= read.offset) continue
      read.states.push((this.world.model.get(deviceId) as Uint32Array).slice(read.offset / 4, read.offset / 4 + words))
    }
  }

  get underWay(): number {
    return this.#underWay.size
  }
}

test('[RD-04] [RD-05] [RD-08] [WR-08] [WR-13] whatever happens, reads see the newest bytes and the devices end with them', async () => {
  const master = new Prng(seed)
  let reads = 0
  let failures = 0
  for (let run = 0; run < 40; run++) {
    const prng = master.fork(`run ${run}`)
    const deviceCount = prng.between(1, 3)
    const world = new World({
      prng,
      deviceCount,
      deviceBytes: DEVICE_BYTES,
      limits: smallLimits(prng),
      latency: prng.chance(0.8),
      ...maybeLent(prng),
    })
    world.log.beforeRead = prng.chance(0.5)
      ? () => new Promise((resolve) => void world.clock.after(prng.below(4), resolve))
      : null
    const reader = new Reader(world)
    const failing = prng.chance(0.7)
    for (let step = 0; step < 150; step++) {
      const choice = prng.below(100)
      if (choice < 55) {
        noteAnything(world, prng, deviceCount)
        const { frame } = world.log.entries.at(-1) as (typeof world.log.entries)[number]
        reader.noted(frame.deviceId, frame.offset, frame.offset + frame.length)
      } else if (choice < 70) {
        allowSome(world, prng)
      } else if (choice < 85) {
        const offset = 4 * prng.below(DEVICE_BYTES / 4)
        const start = prng.chance(0.3)
          ? offset
          : Math.max(0, prng.pick([0, MIB, 2 * MIB, DEVICE_BYTES]) - 4 * prng.below(8192))
        const length = Math.min(DEVICE_BYTES - start, 4 * prng.between(0, 12_000))
        reader.begin(1 + prng.below(deviceCount), start, length)
      } else if (choice < 90 && failing) {
        const disk = world.disk(1 + prng.below(deviceCount))
        disk.inject({ on: prng.pick(['write', 'sync', 'sync', 'discard']), error: 'EIO', count: prng.between(1, 3) })
        failures++
      } else if (choice < 92 && failing) {
        world.disk(1 + prng.below(deviceCount)).dropAbandoned()
      } else {
        await world.clock.advance(prng.pick([0, 0, 1, 5, 30]))
      }
    }
    for (const disk of world.disks.values()) disk.clearFaults()
    world.allow()
    await world.drain()
    await world.clock.advance(1000)
    assert.equal(reader.underWay, 0, 'every read ends')
    for (const [deviceId, model] of world.model) {
      const disk = world.disk(deviceId)
      assert.deepEqual(firstDifference(asWords(disk.peekDurable()), model), null)
      await world.check(deviceId)
    }
    assert.equal(world.applied.lsn, world.log.lastLsn)
    assert.equal(world.applied.position, (world.log.entries.at(-1) as { end: number }).end)
    assert.equal(world.writeBack.memoryBytes, 0)
    assert.equal(world.writeBack.intervalCount, 0)
    assert.equal(world.log.leaseCount, 0)
    reads += reader.checked
  }
  assert.ok(reads > 300 && failures > 30, 'the run was worth something')
})

test('after any power cut, the devices with the log replayed from the applied position are exactly the log [RD-12]', async () => {
  const master = new Prng(seed).fork('crash')
  for (let run = 0; run < 80; run++) {
    const prng = master.fork(`run ${run}`)
    const deviceCount = prng.between(1, 3)
    const world = new World({
      prng,
      deviceCount,
      deviceBytes: DEVICE_BYTES,
      limits: smallLimits(prng),
      latency: true,
      ...maybeLent(prng),
    })
    const steps = prng.between(5, 120)
    const failing = prng.chance(0.5)
    for (let step = 0; step < steps; step++) {
      const choice = prng.below(100)
      if (choice < 60) noteAnything(world, prng, deviceCount)
      else if (choice < 80) allowSome(world, prng)
      else if (choice < 84 && failing) {
        world
          .disk(1 + prng.below(deviceCount))
          .inject({ on: prng.pick(['write', 'sync', 'sync']), error: 'EIO', count: prng.between(1, 2) })
      } else await world.clock.advance(prng.pick([1, 5, 10, 30, 60]))
    }
    world.checkWriteAhead()
    const applied = world.applied.position
    const after = new Map([...world.disks].map(([id, disk]) => [id, asWords(disk.powerCut({ kind: 'random' }).peek())]))
    // The log's own power cut leaves it any end from the allowed position on.
    const { entries } = world.log
    const firstFree = entries.findIndex((entry) => entry.end > world.allowed)
    const kept =
      firstFree < 0 ? entries.length : prng.pick([firstFree, entries.length, prng.between(firstFree, entries.length)])
    const expected = new Map([...after.keys()].map((id) => [id, new Uint32Array(DEVICE_BYTES / 4)]))
    for (const entry of entries.slice(0, kept)) {
      applyTo(expected, entry.frame)
      if (entry.position >= applied) applyTo(after, entry.frame)
    }
    for (const [id, words] of after) {
      assert.deepEqual(firstDifference(words, expected.get(id) as Uint32Array), null, `run ${run}, device ${id}`)
    }
  }
})

test('a block that is rewritten for ever lets the applied position move', async () => {
  const world = new World({
    prng: new Prng(seed),
    deviceBytes: MIB,
    latency: true,
    limits: { syncMs: 50, putOffMsMax: 100 },
  })
  for (let i = 0; i < 2000; i++) {
    world.write(4096, 4096)
    if (i % 5 === 0) world.allow()
    await world.clock.advance(1)
  }
  const lag = world.log.lastLsn - world.applied.lsn
  assert.ok(lag < 300, `the applied position is ${lag} entries behind`)
  assert.ok(world.disk().counts.writes < 200, 'the block was written once a layer')
})

test('memory and intervals stay within their limits, whatever is noted', async () => {
  const limits = { memoryBytesMax: 256 * 1024, intervalsMax: 200, layerBytes: 64 * 1024 }
  const world = new World({ prng: new Prng(seed), deviceBytes: 16 * MIB, limits })
  const prng = new Prng(seed).fork('bounds')
  let refused = 0
  for (let i = 0; i < 3000; i++) {
    if (!world.writeBack.hasRoom(4096)) {
      refused++
      const before = world.roomFreed
      world.allow()
      await world.clock.advance(2000)
      assert.ok(world.roomFreed > before, 'the end of a refusal is told')
      assert.ok(world.writeBack.hasRoom(4096))
    }
    world.write(4096 * prng.below(4096), 4096)
    assert.ok(world.writeBack.memoryBytes <= limits.memoryBytesMax)
    assert.ok(world.writeBack.intervalCount <= limits.intervalsMax)
  }
  assert.ok(refused > 5)
  await world.check()
})
