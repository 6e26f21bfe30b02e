/** The input of a session, without a session: what goes into a journal that may fail at any moment. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CreditWindow,
  encodeFrame,
  encodeResyncBeginPayload,
  FrameType,
  Receiver,
  StreamOrder,
  WINDOW_BYTES_MIN,
  type ReceiverHost,
} from '@sitelink/protocol'
import { SimClock } from '@sitelink/storage/testing'

const MIB = 1 << 20
const LOG = { high: 7, low: 9 }
const MAPPING = 'aaaaaaaaaaaa0000'

function announcement() {
  const payload = { mappingId: MAPPING, regionBytes: MIB, firstRegion: 0, regionCount: 1, bits: Buffer.of(1) }
  return encodeFrame(
    { type: FrameType.resyncBegin, lsn: 0, incarnation: 0, logId: LOG, deviceId: 1 },
    encodeResyncBeginPayload(payload),
  )
}

/** A receiver whose journal fails when `failing` says so, and whose barriers end when `pass` is called. */
function bench() {
  const state = { failed: false, pass: (): void => {} }
  const appended: number[] = []
  const refused: string[] = []
  const host: ReceiverHost = {
    device: () => ({ mappingId: MAPPING, sizeBytes: MIB, regionBytes: MIB }),
    barrier: () => new Promise((resolve) => (state.pass = resolve)),
    hasRoom: () => !state.failed,
    append: ({ type }) => {
      assert(!state.failed, 'nothing is appended to a journal that failed')
      appended.push(type)
    },
    journalFreeBytes: 8 * MIB,
    journalReserveBytes: MIB,
    windowBytesMax: 8 * MIB,
    refuseFrame: (code) => void refused.push(code),
    grant: () => {},
  }
  const order = new StreamOrder(LOG, 1, { incarnation: 0, lsn: 0, crc: null })
  const receiver = new Receiver(host, order, new CreditWindow({ bytesMax: WINDOW_BYTES_MIN }), new SimClock())
  return { state, receiver, appended, refused }
}

test('what waits for a barrier goes into the journal when it has passed', async () => {
  const { state, receiver, appended, refused } = bench()
  receiver.take(announcement())
  receiver.pump()
  assert.deepEqual(appended, [])
  state.pass()
  await new Promise(setImmediate)
  assert.deepEqual([appended, refused], [[FrameType.resyncBegin], []])
})

test('a journal that fails while a barrier passes takes nothing more: the session is refused', async () => {
  const { state, receiver, appended, refused } = bench()
  receiver.take(announcement())
  receiver.pump()
  state.failed = true
  state.pass()
  await new Promise(setImmediate)
  assert.deepEqual([appended, refused], [[], ['failed']])
})
