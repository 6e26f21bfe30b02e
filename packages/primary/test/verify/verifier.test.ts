/** The verifier alone: reads that end when the test says so, and a stream of which the test is the feed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeFrame, FrameType, rangeDigest, WIRE_VERIFY, type ControlMessage, type Frame } from '@sitelink/protocol'
import { SimClock } from '@sitelink/storage/testing'
import { TokenBucket } from '../../src/slink/token-bucket.js'
import { Verifier } from '../../src/verify/verifier.js'
import { VerifyRun, type VerifyDevice } from '../../src/verify/verify-run.js'

const MIB = 1024 * 1024

const deviceOf = (sizeBytes: number, number = 0): VerifyDevice => ({
  deviceId: number + 1,
  mappingId: '00000000000000aa',
  number,
  name: `dev${number}`,
  sizeBytes,
  regionBytes: MIB,
})

function write(lsn: number, offset: number, length = 4096, deviceId = 1): Frame {
  return encodeFrame({ type: FrameType.write, deviceId, lsn, incarnation: 1, offset, length }, Buffer.alloc(length))
}

interface Read {
  readonly offset: number
  readonly length: number
  readonly end: (error?: Error) => Promise<void>
}

/** A verifier of one device whose run has begun at LSN 10. */
function scene(sizeBytes = MIB, wireVersion = WIRE_VERIFY, clean = true) {
  const clock = new SimClock()
  const reads: Read[] = []
  const asked: Extract<ControlMessage, { kind: 'verify' }>[] = []
  const state = { writtenLsn: 10, clean, woken: 0 }
  const verifier: Verifier = new Verifier({
    clock,
    session: {
      sendControl: (message) => {
        assert.equal(message.kind, 'verify')
        if (message.kind === 'verify') asked.push(message)
        return true
      },
    },
    wireVersion,
    read: (_deviceId, offset, length) =>
      new Promise((resolve, reject) =>
        reads.push({
          offset,
          length,
          end: async (error) => {
            if (error === undefined) resolve([Buffer.alloc(length, 1)])
            else reject(error)
            await clock.settle()
          },
        }),
      ),
    writtenLsn: () => state.writtenLsn,
    isClean: () => state.clean,
    bucket: new TokenBucket(0),
    bytesPerSecond: () => 0,
    wake: () => {
      state.woken += 1
      // As the feed does.
      verifier.pump()
    },
  })
  const run = new VerifyRun([deviceOf(sizeBytes)])
  verifier.attach(run)
  const answer = (at: number, fill: number): boolean => {
    const { id, length } = asked[at] as { id: number; length: number }
    return verifier.answered({
      kind: 'verified',
      id,
      digest: rangeDigest([Buffer.alloc(length, fill)]),
      problem: null,
    })
  }
  return { verifier, run, reads, asked, state, clock, answer }
}

test('a question is put where the stream has passed all that may be in what was read, and no sooner', async () => {
  const { verifier, run, reads, asked, state, answer } = scene()
  state.writtenLsn = 14
  await reads[0]?.end()
  verifier.stands(13)
  assert.equal(asked.length, 0)
  verifier.stands(14)
  assert.deepEqual(asked, [{ kind: 'verify', id: 1, deviceId: 1, offset: 0, length: MIB }])
  assert.equal(answer(0, 1), true)
  assert.equal(run.counts.equalBytes, MIB)
  assert.equal(answer(0, 1), false, 'an answer counts once')
})

test('what an entry may have changed while it was read is worth nothing: it is read again, in smaller pieces', async () => {
  const { verifier, run, reads, asked, state } = scene()
  state.writtenLsn = 14
  await reads[0]?.end()
  assert.equal(verifier.meets(write(12, MIB - 512)), 'pass')
  verifier.stands(14)
  assert.equal(asked.length, 0)
  assert.equal(run.doneBytes, 0)
  assert.deepEqual(
    reads.slice(1).map(({ length }) => length),
    [65_536, 65_536],
  )
})

test('entries that the read contains, of other devices or beside the range say nothing about it', async () => {
  const { verifier, reads, asked, state } = scene()
  assert.equal(verifier.meets(write(10, 0)), 'pass', 'planned with it')
  state.writtenLsn = 14
  await reads[0]?.end()
  assert.equal(verifier.meets(write(12, 0, 4096, 2)), 'pass')
  assert.equal(verifier.meets(write(13, MIB)), 'pass')
  verifier.stands(14)
  assert.equal(asked.length, 1)
})

test('an entry that touches a range waits while that is read, and goes behind its question', async () => {
  const { verifier, reads, asked, state } = scene()
  assert.equal(verifier.meets(write(11, 0)), 'wait')
  const { woken } = state
  await reads[0]?.end()
  assert.equal(state.woken, woken + 1, 'the stream is told that it need not wait any more')
  assert.equal(verifier.meets(write(11, 0)), 'ask-first')
  verifier.stands(10)
  assert.equal(asked.length, 1)
  assert.equal(verifier.meets(write(11, 0)), 'pass')
})

test('a region that became dirty before its question could be put is left out', async () => {
  const { verifier, run, reads, asked, state } = scene()
  await reads[0]?.end()
  state.clean = false
  verifier.stands(10)
  assert.equal(asked.length, 0)
  assert.equal(run.counts.leftOutBytes, MIB)
})

test('what has no answer when the session ends is compared in the next one, whatever an old read brings', async () => {
  const { verifier, run, reads, asked } = scene(4 * MIB)
  await reads[0]?.end()
  verifier.stands(10)
  assert.equal(asked.length, 1)
  verifier.close()
  await reads[1]?.end()
  assert.equal(run.doneBytes, 0)
  const offsets = []
  for (let range = run.take(); range !== null; range = run.take()) offsets.push(range.offset / MIB)
  assert.deepEqual(offsets.sort(), [0, 1, 2, 3])
})

test('reads, questions and what waits between them are bounded', async () => {
  const { verifier, reads, asked } = scene(200 * MIB)
  assert.equal(reads.length, 2)
  let ended = 0
  while (ended < reads.length) await reads[ended++]?.end()
  assert.equal(ended, 16, 'no more than these wait for their place')
  while (ended < reads.length || asked.length < ended) {
    verifier.stands(10)
    while (ended < reads.length) await reads[ended++]?.end()
  }
  assert.equal(asked.length, 64, 'no more than these wait for an answer')
})

test('an answer that is different, and a side that cannot read, are told apart', async () => {
  const { verifier, run, reads, answer, asked } = scene(3 * MIB)
  await reads[0]?.end()
  await reads[1]?.end(new Error('EIO'))
  verifier.stands(10)
  answer(0, 2)
  await reads[2]?.end()
  verifier.stands(10)
  verifier.answered({ kind: 'verified', id: asked[1]?.id ?? 0, digest: null, problem: 'no such sector' })
  assert.equal(run.doneBytes, run.totalBytes)
  assert.deepEqual(run.different, [{ device: 0, offsetBytes: 0, lengthBytes: MIB }])
  assert.deepEqual(
    run.unreadable.map(({ side, why, offsetBytes }) => [side, why, offsetBytes / MIB]),
    [
      ['primary', 'EIO', 1],
      ['agent', 'no such sector', 2],
    ],
  )
})

test('a device that is all dirty is left out over many turns, each of them short', async () => {
  const { verifier, run, state, reads, clock } = scene(10_001 * MIB, WIRE_VERIFY, false)
  assert.equal(run.counts.leftOutBytes, 4096 * MIB)
  verifier.pump()
  verifier.stands(10)
  assert.equal(run.counts.leftOutBytes, 4096 * MIB, 'no more in this turn, whoever asks')
  await clock.settle()
  assert.equal(run.counts.leftOutBytes, 10_001 * MIB)
  state.clean = true
  verifier.attach(new VerifyRun([deviceOf(MIB)]))
  assert.equal(reads.length, 1, 'another run goes on as ever')
})

test('a place that is written to whenever it is read is left out in the end, and all beside it is compared', async () => {
  const { verifier, run, reads, state, asked, answer } = scene(2 * MIB)
  for (let at = 0; run.doneBytes < run.totalBytes; at++) {
    assert(at < 1000, 'it ends')
    const read = reads[at] ?? assert.fail('it goes on')
    state.writtenLsn += 1
    await read.end()
    verifier.meets(write(state.writtenLsn, 4096 * 3, 512))
    verifier.stands(state.writtenLsn)
    for (let one = 0; one < asked.length; one++) if (asked[one] !== undefined) answer(one, 1)
  }
  assert.deepEqual([run.counts.leftOutBytes, run.counts.equalBytes], [4096, 2 * MIB - 4096])
})

test('an agent of a wire version without verify is never asked', () => {
  assert.equal(scene(MIB, WIRE_VERIFY - 1).verifier.supported, false)
  assert.equal(scene(MIB, WIRE_VERIFY).verifier.supported, true)
})

test('[RSY-20] a run joins what cannot be read only where side and reason are the same, and counts the rest', () => {
  const run = new VerifyRun([deviceOf(5 * MIB)])
  const ranges = []
  for (let range = run.take(); range !== null; range = run.take()) ranges.push(range)
  const whys = ['a', 'a', 'b', 'b', 'b']
  for (const [at, range] of ranges.entries())
    run.note(range, { side: at === 4 ? 'primary' : 'agent', why: whys[at] as string })
  assert.deepEqual(
    run.unreadable.map(({ offsetBytes, lengthBytes, side, why }) => [offsetBytes / MIB, lengthBytes / MIB, side, why]),
    [
      [0, 2, 'agent', 'a'],
      [2, 2, 'agent', 'b'],
      [4, 1, 'primary', 'b'],
    ],
  )
  const large = new VerifyRun([deviceOf(2100 * MIB)])
  for (let range = large.take(); range !== null; range = large.take())
    large.note(range, { side: 'agent', why: String(range.offset % (2 * MIB)) })
  assert.equal(large.unreadable.length, 1000)
  assert.equal(large.counts.unreadableBytes, 2100 * MIB)
})

test('a run joins neighbours, counts what it cannot name, and knows each differing region once', () => {
  const devices = [deviceOf(3 * MIB), deviceOf(2 * MIB, 1)]
  const run = new VerifyRun(devices)
  const ranges = []
  for (let range = run.take(); range !== null; range = run.take()) ranges.push(range)
  for (const range of ranges.toReversed()) run.note(range, 'different')
  assert.deepEqual(run.different, [
    { device: 0, offsetBytes: 0, lengthBytes: 3 * MIB },
    { device: 1, offsetBytes: 0, lengthBytes: 2 * MIB },
  ])
  assert.equal([...run.differentRegions()].length, 5)
  const large = new VerifyRun([deviceOf(2002 * MIB)])
  for (let range = large.take(); range !== null; range = large.take())
    large.note(range, (range.offset / MIB) % 2 === 0 ? 'different' : 'equal')
  assert.equal(large.different.length, 1000)
  assert.equal(large.notNamedBytes, MIB)
  assert.equal([...large.differentRegions()].length, 1001)
})
