/** Group commit alone: what its hooks allow, and what it does when they do not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeFrame, FrameType, type Frame } from '@sitelink/protocol/entry'
import { geometryOf, type Geometry } from '../../src/ring-log/geometry.js'
import { GroupCommit } from '../../src/ring-log/group-commit.js'
import type { RingSpace } from '../../src/ring-log/ring-space.js'
import { SegmentBuilder, Segments } from '../../src/ring-log/segments.js'
import { Prng, SimClock } from '../../src/testing/index.js'
import { MIB } from './support.js'

const LOG_ID = { high: 1, low: 2 }
const START = { position: 0, entriesEnd: 0, lsn: 0, incarnation: 1, entryCrc: 0, groupCrc: 0 }

/** A log in which nothing is ever durable, and whose limits are the test's. */
class World {
  readonly clock = new SimClock()
  readonly limits: { geometry: Geometry } = { geometry: geometryOf(64 * MIB) }
  spaceEnd = Infinity
  mayForm = true
  checkpoints = 0
  #lsn = 0
  readonly commit: GroupCommit

  constructor() {
    const { limits } = this
    const write = (): Promise<void> => new Promise((resolve) => void this.clock.after(1, resolve))
    const space = { write } as unknown as RingSpace
    this.commit = new GroupCommit(
      {
        space,
        clock: this.clock,
        get geometry() {
          return limits.geometry
        },
        logId: LOG_ID,
        segments: new Segments([], new SegmentBuilder(0)),
        hooks: {
          durable: () => START,
          spaceEnd: () => this.spaceEnd,
          mayForm: () => this.mayForm,
          formed: ({ isCheckpoint }) => void (this.checkpoints += isCheckpoint ? 1 : 0),
          written: () => undefined,
          failed: (error) => assert.fail(error as Error),
        },
      },
      START,
      1,
    )
  }

  frame(length: number, offset: number): Frame {
    this.#lsn += 1
    const type = length === 0 ? FrameType.trim : FrameType.write
    return encodeFrame(
      { type, deviceId: 1, lsn: this.#lsn, logId: LOG_ID, incarnation: 1, offset, length: length || 512 },
      length === 0 ? null : Buffer.alloc(length),
    )
  }
}

test('who waits until nothing is under way is let go although a checkpoint is due and too much is unsynced for it', async () => {
  const world = new World()
  const { commit, clock } = world
  for (let count = 0; count < 3; count++) commit.append(world.frame(MIB, count * MIB))
  for (let step = 0; step < 10 && commit.inFlight === null; step++) await clock.settle()
  assert.ok(commit.inFlight !== null && commit.gatheringCount === 0, 'all of it is under way')
  world.mayForm = false
  let isIdle = false
  void commit.whenIdle().then(() => (isIdle = true))
  await clock.advance(10)
  assert.equal(commit.inFlight, null)
  assert.ok(isIdle)
  world.mayForm = true
  commit.append(world.frame(512, 0))
  await clock.advance(10)
  assert.equal(world.checkpoints, 1, 'the checkpoint comes with the next entry')
})

test('the checkpoint of a segment that grew in a larger ring takes no room that was promised to entries', async () => {
  const world = new World()
  const { commit, clock } = world
  const prng = new Prng('regions')
  // Far from each other, so that a checkpoint has much to say.
  for (let count = 0; count < 16_000; count++) commit.append(world.frame(0, prng.below(2 ** 30) * MIB))
  await clock.runUntil(commit.whenIdle())
  assert.equal(world.checkpoints, 0, 'the segment still grows')
  world.limits.geometry = geometryOf(2 * MIB)
  const promised = commit.roomNeeded(4, 4 * (96 + 60_000))
  world.spaceEnd = commit.formed.position + promised
  for (let count = 0; count < 4; count++) commit.append(world.frame(60_000, count * MIB))
  await clock.runUntil(commit.whenIdle())
  assert.equal(commit.written.lsn, 16_004)
  world.spaceEnd = Infinity
  commit.append(world.frame(0, 0))
  await clock.runUntil(commit.whenIdle())
  assert.equal(world.checkpoints, 1, 'it is written once there is room for both')
})
