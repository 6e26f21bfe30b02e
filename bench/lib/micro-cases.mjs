/**
 * The operations that `bench micro` measures: each the code that the product runs, over data of a realistic shape.
 *
 * Owns the data and the loops, and nothing of time or of what is printed. A case answers `run(count)`, which does `count`
 * operations and returns something that depends on all of them, so that none can be left out by the compiler. Parts of
 * storage that only the log itself uses are taken from where the build puts them.
 */
import { join } from 'node:path'
import { root } from '../../scripts/lib/workspace.mjs'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const BLOCK = 4 * KIB
/** Entries of one overlay: 32 MiB, which it keeps in memory, in several layers. */
const OVERLAY_ENTRIES = 8192
const OVERLAY_BYTES = 100 * GIB
const GROUP_ENTRIES = 64
const REGIONS = 1 << 20

/** Random numbers that are the same in every run (xorshift). */
function numbers(seed) {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

function noise(bytes) {
  const next = numbers(bytes + 1)
  const buffer = Buffer.allocUnsafe(bytes)
  for (let at = 0; at < bytes; at += 4) buffer.writeUInt32LE(next(2 ** 32), at)
  return buffer
}

/** All cases, in the order of the table: `{ name, unit, run }`, and `bytes` where a rate says more than a time. */
export async function microCases() {
  const at = (path) => import(join(root, 'packages', path))
  const entry = await at('protocol/dist/src/entry/index.js')
  const storage = await at('storage/dist/src/index.js')
  const { GroupAssembly } = await at('storage/dist/src/ring-log/group-assembly.js')
  return [
    ...checksumCases(entry),
    ...frameCases(entry),
    ...overlayCases(entry, storage),
    ...bitmapCases(storage),
    ...assemblyCases(entry, GroupAssembly),
  ]
}

function checksumCases({ crc32, portableCrc32 }) {
  const checksum = (name, sum, bytes) => {
    const data = noise(bytes)
    return {
      name,
      unit: 'checksum',
      bytes,
      run(count) {
        let seen = 0
        for (let i = 0; i < count; i++) seen ^= sum(data)
        return seen
      },
    }
  }
  return [
    checksum('CRC-32, 96 B', crc32, 96),
    checksum('CRC-32, 4 KiB', crc32, BLOCK),
    checksum('CRC-32, 1 MiB', crc32, MIB),
    checksum('CRC-32 without zlib, 4 KiB', portableCrc32, BLOCK),
  ]
}

const LOG_ID = { high: 0x1234_5678, low: 0x9abc_def0 }

function writeFields(entry, lsn, offset, length) {
  return {
    type: entry.FrameType.write,
    deviceId: 1,
    lsn,
    logId: LOG_ID,
    incarnation: 3,
    previousCrc: lsn,
    offset,
    length,
    wallUs: 1_700_000_000_000_000 + lsn,
    durableLsn: Math.max(0, lsn - 100),
  }
}

function frameCases(entry) {
  const { encodeFrame, scanFrame } = entry
  const encode = (name, payload) => {
    const header = Buffer.alloc(entry.FRAME_HEADER_BYTES)
    return {
      name,
      unit: 'frame',
      run(count) {
        let seen = 0
        for (let i = 0; i < count; i++)
          seen ^= encodeFrame(writeFields(entry, i + 1, i * BLOCK, payload.length), payload, header).headerCrc
        return seen
      },
    }
  }
  const decode = (name, payload) => {
    const frames = Array.from({ length: 64 }, (_, i) => {
      const frame = encodeFrame(writeFields(entry, i + 1, i * BLOCK, payload.length), payload)
      return Buffer.concat([frame.header, payload])
    })
    const stream = Buffer.concat(frames)
    return {
      name,
      unit: 'frame',
      run(count) {
        let seen = 0
        for (let i = 0, offset = 0; i < count; i++) {
          const scan = scanFrame(stream, offset)
          if (scan.kind !== 'entry') throw new Error(`a frame that was just made scans as ${scan.kind}`)
          seen += scan.frame.lsn
          offset = scan.next < stream.length ? scan.next : 0
        }
        return seen
      },
    }
  }
  return [
    encode('frame encode, 4 KiB', noise(BLOCK)),
    encode('frame encode, 64 KiB', noise(64 * KIB)),
    decode('frame decode, 4 KiB', noise(BLOCK)),
    decode('frame decode, 64 KiB', noise(64 * KIB)),
  ]
}

/** An overlay whose layers never move: nothing is allowed, and its clock never strikes. */
function stillOverlay({ LayeredWriteBack }, payload) {
  const nothing = () => undefined
  const writeBack = new LayeredWriteBack({
    log: { lease: () => ({ position: 0, advance: nothing, release: nothing }), readPayload: async () => payload },
    clock: { wallUs: () => 0, nowMs: () => 0, after: () => ({ cancel: nothing }), soon: nothing },
    listener: {
      applied: nothing,
      roomFreed: nothing,
      limitWanted: nothing,
      deviceFailed: nothing,
      deviceRecovered: nothing,
    },
    position: 0,
    lsn: 0,
  })
  const done = async () => undefined
  const device = {
    description: 'none',
    sizeBytes: OVERLAY_BYTES,
    canDiscard: true,
    read: done,
    write: done,
    zero: done,
  }
  writeBack.attach(1, { ...device, discard: done, sync: done, close: done })
  return writeBack
}

function overlayCases(entry, storage) {
  const payload = noise(BLOCK)
  const random = numbers(7)
  const scattered = Array.from({ length: OVERLAY_ENTRIES }, () => random(OVERLAY_BYTES / BLOCK) * BLOCK)
  const inOrder = scattered.map((_, i) => i * BLOCK)
  const entriesAt = (offsets) =>
    offsets.map((offset, i) => {
      const frame = entry.encodeFrame(writeFields(entry, i + 1, offset, BLOCK), payload)
      return { frame, position: i * (96 + BLOCK), end: (i + 1) * (96 + BLOCK) }
    })
  const note = (name, offsets) => {
    const entries = entriesAt(offsets)
    return {
      name,
      unit: 'entry',
      run(count) {
        let seen = 0
        for (let i = 0; i < count;) {
          const overlay = stillOverlay(storage, payload)
          for (const stop = Math.min(count, i + OVERLAY_ENTRIES); i < stop; i++)
            overlay.note(entries[i % OVERLAY_ENTRIES])
          seen += overlay.intervalCount
        }
        return seen
      },
    }
  }
  const lookup = (name, offsetOf, length) => {
    const overlay = stillOverlay(storage, payload)
    for (const one of entriesAt(scattered)) overlay.note(one)
    return {
      name,
      unit: 'lookup',
      run(count) {
        let seen = 0
        for (let i = 0; i < count; i++) seen += overlay.plan(1, offsetOf(i), length).length
        return seen
      },
    }
  }
  const asked = Array.from({ length: OVERLAY_ENTRIES }, () => scattered[random(OVERLAY_ENTRIES)])
  return [
    note('overlay note, 4 KiB scattered', scattered),
    note('overlay note, 4 KiB in order', inOrder),
    lookup('overlay lookup, 4 KiB found', (i) => asked[i % OVERLAY_ENTRIES], BLOCK),
    lookup('overlay lookup, 4 KiB not found', (i) => (asked[i % OVERLAY_ENTRIES] + 17 * BLOCK) % OVERLAY_BYTES, BLOCK),
    lookup('overlay lookup, 1 MiB', (i) => Math.floor(asked[i % OVERLAY_ENTRIES] / MIB) * MIB, MIB),
  ]
}

function bitmapCases({ DirtyBitmap }) {
  const random = numbers(11)
  const offsets = Array.from({ length: 65_536 }, () => random(REGIONS) * MIB + random(255) * BLOCK)
  const marked = new DirtyBitmap(REGIONS * MIB, MIB)
  const sparse = new DirtyBitmap(REGIONS * MIB, MIB)
  for (let i = 0; i < REGIONS / 100; i++) sparse.mark(random(REGIONS))
  const lone = new DirtyBitmap(REGIONS * MIB, MIB)
  lone.mark(REGIONS - 1)
  return [
    {
      name: 'dirty bitmap mark, 4 KiB scattered',
      unit: 'entry',
      run(count) {
        for (let i = 0; i < count; i++) {
          if ((i & 0xffff) === 0) marked.clearAll()
          marked.markRange(offsets[i & 0xffff], BLOCK)
        }
        return marked.dirtyCount
      },
    },
    {
      name: 'dirty bitmap scan, 1 % dirty',
      unit: 'dirty region',
      run(count) {
        let seen = 0
        for (let i = 0, cursor = 0; i < count; i++) {
          const found = sparse.nextDirty(cursor)
          seen += found
          cursor = found + 1
        }
        return seen
      },
    },
    {
      name: 'dirty bitmap scan, 1 in 1 Mi dirty',
      unit: '1 Mi regions',
      run(count) {
        let seen = 0
        for (let i = 0; i < count; i++) seen += lone.nextDirty(0)
        return seen
      },
    },
  ]
}

function assemblyCases(entry, GroupAssembly) {
  const assemble = (name, payload, entries) => {
    const assembly = new GroupAssembly()
    const group = Array.from({ length: entries }, (_, i) => ({
      frame: entry.encodeFrame(writeFields(entry, i + 1, i * BLOCK, payload.length), payload),
      position: 0,
      end: 0,
    }))
    const fields = {
      kind: 1,
      logId: LOG_ID,
      incarnation: 3,
      previousCrc: 1,
      position: BLOCK,
      bodyBytes: entries * (entry.FRAME_HEADER_BYTES + payload.length),
      entryCount: entries,
      firstLsn: 1,
      lastLsn: entries,
      durableEnd: 0,
      durableLsn: 0,
      checkpoint: 0,
      wallUs: 1_700_000_000_000_000,
    }
    return {
      name,
      unit: 'group',
      run(count) {
        let seen = 0
        for (let i = 0; i < count; i++) seen ^= assembly.data(fields, group).headerCrc
        return seen
      },
    }
  }
  return [
    assemble('group assembly, 1 x 4 KiB', noise(BLOCK), 1),
    assemble(`group assembly, ${GROUP_ENTRIES} x 4 KiB`, noise(BLOCK), GROUP_ENTRIES),
    assemble(`group assembly, ${GROUP_ENTRIES} x 64 KiB`, noise(64 * KIB), GROUP_ENTRIES),
  ]
}
