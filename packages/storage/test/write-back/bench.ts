/**
 * Micro benchmark of the hot path: notes a second on one thread, the steady-state flush and sync bookkeeping included,
 * against a device that answers at once. Run it with `node packages/storage/dist/test/write-back/bench.js [entries]`;
 * the time that the loop itself and the making of entries takes is measured first and left out.
 */
import { performance } from 'node:perf_hooks'
import { FrameType, type Clock, type Frame } from '@sitelink/protocol/entry'
import type { BlockDevice } from '../../src/device/block-device.js'
import type { LogEntry } from '../../src/ring-log/contract.js'
import { Prng } from '../../src/testing/index.js'
import { LayeredWriteBack } from '../../src/write-back/write-back.js'

const BLOCK = 4096
const BATCH = 256
const GIB = 1024 * 1024 * 1024

const clock: Clock = {
  wallUs: () => 0,
  nowMs: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  soon: (action) => void setImmediate(action),
}

const done = Promise.resolve()
const device = {
  description: 'null',
  sizeBytes: 1024 * GIB,
  canDiscard: true,
  read: () => done,
  write: () => done,
  zero: () => done,
  discard: () => done,
  sync: () => done,
  close: () => done,
} as unknown as BlockDevice

const payload = Buffer.alloc(BLOCK)
const header = Buffer.alloc(96)

function frameAt(offset: number, lsn: number, length: number, type: Frame['type']): Frame {
  const bytes = type === FrameType.write ? payload : null
  return {
    type,
    flags: 0,
    deviceId: 1,
    lsn,
    incarnation: 1,
    offset,
    length,
    durableLsn: 0,
    aux: 0,
    wallUs: 0,
    headerCrc: 0,
    header,
    payload: bytes,
    memory: null,
  }
}

async function run(count: number, offsetOf: (i: number) => number, length: number, type: Frame['type'], real: boolean) {
  const writeBack = new LayeredWriteBack({
    log: {
      lease: () => ({ position: 0, advance: () => undefined, release: () => undefined }),
      readPayload: async () => payload,
      readPayloads: async (places) => places.map(() => payload),
    },
    clock,
    listener: {
      applied: () => undefined,
      roomFreed: () => undefined,
      limitWanted: () => undefined,
      deviceFailed: () => undefined,
      deviceRecovered: () => undefined,
    },
    position: 0,
    lsn: 0,
  })
  writeBack.attach(1, device)
  let position = 0
  let worstMemory = 0
  let worstIntervals = 0
  const start = performance.now()
  for (let i = 0; i < count;) {
    for (const stop = Math.min(count, i + BATCH); i < stop; i++) {
      const end = position + 96 + (type === FrameType.write ? BLOCK : 0)
      const entry: LogEntry = { frame: frameAt(offsetOf(i), i + 1, length, type), position, end }
      if (real) writeBack.note(entry)
      position = end
    }
    writeBack.allow(position)
    worstMemory = Math.max(worstMemory, writeBack.memoryBytes)
    worstIntervals = Math.max(worstIntervals, writeBack.intervalCount)
    await new Promise((resolve) => setImmediate(resolve))
  }
  if (real) await writeBack.drain()
  const ms = performance.now() - start
  const { deviceWriteCount, deviceSyncCount } = writeBack.status()
  await writeBack.stop()
  return { ms, worstMemory, worstIntervals, deviceWriteCount, deviceSyncCount }
}

const count = Number(process.argv[2] ?? 1_000_000)
const prng = new Prng(1)
const offsets = Float64Array.from({ length: count }, () => prng.below((100 * GIB) / BLOCK) * BLOCK)
const cases: [string, (i: number) => number, number, Frame['type']][] = [
  ['4 KiB random over 100 GiB', (i) => offsets[i] as number, BLOCK, FrameType.write],
  ['4 KiB random over 64 MiB', (i) => (offsets[i] as number) % (64 * 1024 * 1024), BLOCK, FrameType.write],
  ['4 KiB sequential', (i) => (i * BLOCK) % (100 * GIB), BLOCK, FrameType.write],
  ['4 KiB, one hot block', () => BLOCK, BLOCK, FrameType.write],
  [
    'trim of 1 GiB, at random',
    (i) => Math.floor((offsets[i] as number) / GIB) * GIB + BLOCK,
    GIB - 2 * BLOCK,
    FrameType.trim,
  ],
]
for (const [name, offsetOf, length, type] of cases) {
  const entries = type === FrameType.trim ? count / 10 : count
  await run(entries / 10, offsetOf, length, type, true)
  const idle = await run(entries, offsetOf, length, type, false)
  const busy = await run(entries, offsetOf, length, type, true)
  const perSecond = Math.round(entries / ((busy.ms - idle.ms) / 1000))
  console.log(
    `${name}: ${perSecond.toLocaleString('en')} notes/s (${busy.ms.toFixed(0)} ms, loop ${idle.ms.toFixed(0)} ms), ` +
      `${busy.deviceWriteCount} device writes, ${busy.deviceSyncCount} syncs, ` +
      `at most ${(busy.worstMemory / 1024 / 1024).toFixed(1)} MiB and ${busy.worstIntervals} intervals`,
  )
}
