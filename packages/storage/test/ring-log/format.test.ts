/**
 * The bytes on the disk: golden vectors, and what a reader makes of every single flipped bit.
 *
 * The vectors lie in vectors/v1 and v2 as hex; they never change. UPDATE=1 writes them anew, for a new version.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { encodeFrame, FrameType } from '@sitelink/protocol/entry'
import { decodeCheckpoint, encodeCheckpoint, type CheckpointBody } from '../../src/ring-log/checkpoint.js'
import type { Incarnation } from '../../src/ring-log/contract.js'
import { GroupAssembly } from '../../src/ring-log/group-assembly.js'
import {
  decodeGroupHeader,
  encodeGroupHeader,
  GROUP_HEADER_BYTES,
  GroupKind,
  type GroupFields,
} from '../../src/ring-log/group.js'
import { plainLayout, type RingLayout } from '../../src/ring-log/layout.js'
import { SUPERBLOCK_SLOT_BYTES } from '../../src/ring-log/limits.js'
import { decodeRuns, encodeRuns, RegionSet } from '../../src/ring-log/region-set.js'
import { chooseSlot, decodeSlot, encodeSuperblock, type Superblock } from '../../src/ring-log/superblock.js'
import { pruneIncarnations, skipVoid, spansOf } from '../../src/ring-log/lives.js'
import { MIB } from './support.js'

const LIFE_1: Incarnation = {
  number: 1,
  id: { high: 0x01020304, low: 0x05060708 },
  firstLsn: 1,
  firstPosition: 0,
  previousEnd: 0,
}
const LIFE_2: Incarnation = {
  number: 2,
  id: { high: 0x11121314, low: 0x15161718 },
  firstLsn: 4,
  firstPosition: 8192,
  previousEnd: 5000,
}

const SUPERBLOCK: Superblock = {
  sequence: 7,
  logId: { high: 0xa1a2a3a4, low: 0xa5a6a7a8 },
  startOffset: 4096,
  ringBytes: 1792 * 1024,
  layout: plainLayout(1792 * 1024),
  rule: 'dense',
  cleanStop: true,
  tail: { position: 4096, entriesEnd: 4000, lsn: 2, incarnation: 1, entryCrc: 0x11223344, groupCrc: 0x55667788 },
  checkpoint: { position: 8192, entriesEnd: 5000, lsn: 3, incarnation: 1, entryCrc: 0x99aabbcc, groupCrc: 0xddeeff00 },
  durableEnd: 12288,
  durableLsn: 9,
  wallUs: 1_700_000_000_000_000,
  createdUs: 1_600_000_000_000_000,
  incarnations: [LIFE_1, LIFE_2],
  owner: Buffer.from('what the owner wants to find again'),
}

/** A ring of the same size, resized while it was full. */
const RESIZED: RingLayout = {
  ringBytes: 1792 * 1024,
  shift: 8192,
  pieces: [
    { place: 0, length: 512 * 1024 },
    { place: 1024 * 1024, length: 768 * 1024 },
    { place: 512 * 1024, length: 512 * 1024 },
  ],
}

const GROUP: GroupFields = {
  kind: GroupKind.data,
  logId: SUPERBLOCK.logId,
  incarnation: 2,
  previousCrc: LIFE_2.id.low,
  position: 8192,
  bodyBytes: 208,
  entryCount: 2,
  firstLsn: 4,
  lastLsn: 5,
  durableEnd: 8192,
  durableLsn: 3,
  checkpoint: 4096,
  wallUs: 1_700_000_000_000_001,
  bodyCrc: 0x12345678,
}

const CHECKPOINT: CheckpointBody = {
  segmentStart: 4096,
  entryCount: 1234,
  index: [
    { position: 4096, lsn: 17 },
    { position: 4096 + 256 * 1024, lsn: 81 },
  ],
  directory: [{ anchor: { ...SUPERBLOCK.tail }, entryCount: 16 }],
  runs: [
    { deviceId: 1, firstUnit: 0, unitCount: 1 },
    { deviceId: 1, firstUnit: 300, unitCount: 1024 },
    { deviceId: 70_000, firstUnit: 2 ** 33, unitCount: 1 },
  ],
}

/** A whole data group with two frames, as it lies on the disk. */
function groupOnDisk(): Buffer {
  const names = { logId: GROUP.logId, incarnation: 2, deviceId: 1 }
  const first = encodeFrame(
    { type: FrameType.write, lsn: 4, offset: 4096, length: 16, ...names },
    Buffer.from('sixteen bytes..!'),
  )
  const second = encodeFrame(
    { type: FrameType.trim, lsn: 5, offset: 8192, length: 4096, previousCrc: first.headerCrc, ...names },
    null,
  )
  const entries = [first, second].map((frame) => ({ frame, position: 0, end: 0 }))
  return Buffer.concat(new GroupAssembly().data({ ...GROUP, bodyBytes: 96 + 16 + 96 }, entries).chunks as Buffer[])
}

const HEX_LINE = 64

function vector(name: string, bytes: Buffer, version = 1): void {
  const path = fileURLToPath(new URL(`../../../test/ring-log/vectors/v${version}/${name}.hex`, import.meta.url))
  const hex = (bytes.toString('hex').match(new RegExp(`.{1,${HEX_LINE}}`, 'g')) ?? []).join('\n') + '\n'
  if (process.env['UPDATE'] === '1') writeFileSync(path, hex)
  assert.equal(hex, readFileSync(path, 'utf8'), `${name} is byte for byte as in version ${version}`)
}

function inSlot(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(SUPERBLOCK_SLOT_BYTES - bytes.length)])
}

test('[FMT-04] superblock, group and checkpoint are the golden bytes of version 1', () => {
  vector('superblock', encodeSuperblock(SUPERBLOCK))
  vector('group', groupOnDisk())
  vector('checkpoint', encodeCheckpoint(CHECKPOINT))
})

test('[FMT-04] the superblock of a ring that was resized is the golden bytes of version 2, and says back what was written', () => {
  const resized = { ...SUPERBLOCK, layout: RESIZED }
  const bytes = encodeSuperblock(resized)
  vector('superblock', bytes, 2)
  const read = decodeSlot(inSlot(bytes))
  assert.ok(read.kind === 'valid')
  assert.deepEqual(read.superblock, resized)
})

test('[FMT-01] a superblock says back what was written, and any flipped bit is detected', () => {
  const slot = inSlot(encodeSuperblock(SUPERBLOCK))
  const read = decodeSlot(slot)
  assert.ok(read.kind === 'valid')
  assert.deepEqual(read.superblock, SUPERBLOCK)
  for (let bit = 0; bit < 4096 * 8; bit++) {
    const at = bit >> 3
    slot[at] = (slot[at] as number) ^ (1 << (bit & 7))
    assert.notEqual(decodeSlot(slot).kind, 'valid', `bit ${bit}`)
    slot[at] = (slot[at] as number) ^ (1 << (bit & 7))
  }
})

test('[FMT-03] any flipped bit of a group header is detected', () => {
  const bytes = Buffer.alloc(GROUP_HEADER_BYTES)
  encodeGroupHeader(bytes, 0, GROUP)
  const read = decodeGroupHeader(bytes, 0)
  assert.ok(typeof read === 'object')
  const { headerCrc: _, ...fields } = read
  assert.deepEqual(fields, GROUP)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const at = bit >> 3
    bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7))
    assert.equal(typeof decodeGroupHeader(bytes, 0), 'string', `bit ${bit}`)
    bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7))
  }
})

test('[FMT-22] a group holds its frames and zeros, nothing else', () => {
  const bytes = groupOnDisk()
  assert.equal(bytes.length, 4096)
  assert.ok(bytes.subarray(96 + 96 + 16 + 96).equals(Buffer.alloc(4096 - 304)))
})

test('a checkpoint says back what was written', () => {
  assert.deepEqual(decodeCheckpoint(encodeCheckpoint(CHECKPOINT)), CHECKPOINT)
  assert.deepEqual(decodeCheckpoint(encodeCheckpoint({ ...CHECKPOINT, runs: null })), { ...CHECKPOINT, runs: null })
  assert.equal(decodeCheckpoint(encodeCheckpoint(CHECKPOINT).subarray(0, -1)), null)
})

test('a region set is exact, merged and survives its encoding', () => {
  const set = new RegionSet()
  set.note(5, 0, 1)
  set.note(5, MIB - 1, 2)
  set.note(5, 10 * MIB, 5 * MIB + 1)
  set.note(5, 14 * MIB, 4096)
  set.note(2, 7 * MIB, MIB)
  set.note(2, 9 * MIB, 0)
  const expected = [
    { deviceId: 2, firstUnit: 7, unitCount: 1 },
    { deviceId: 5, firstUnit: 0, unitCount: 2 },
    { deviceId: 5, firstUnit: 10, unitCount: 6 },
  ]
  assert.deepEqual(set.runs(), expected)
  assert.deepEqual(decodeRuns(encodeRuns(expected)), expected)
})

test('the newest valid superblock is chosen, and a newer format is told by its version', () => {
  const older = decodeSlot(inSlot(encodeSuperblock(SUPERBLOCK)))
  const newer = decodeSlot(inSlot(encodeSuperblock({ ...SUPERBLOCK, sequence: 8 })))
  const blank = decodeSlot(Buffer.alloc(SUPERBLOCK_SLOT_BYTES))
  assert.equal(chooseSlot([older, newer]), 1)
  assert.equal(chooseSlot([newer, older]), 0)
  assert.equal(chooseSlot([blank, older]), 1)
  assert.equal(chooseSlot([blank, blank]), null)
  assert.equal(blank.kind, 'blank')
  assert.equal(decodeSlot(Buffer.alloc(SUPERBLOCK_SLOT_BYTES, 'ext4')).kind, 'foreign')
})

test('each position belongs to at most one life, also when a truncation voids lives', () => {
  const life = (number: number, firstPosition: number, previousEnd: number): Incarnation => ({
    ...LIFE_1,
    number,
    firstPosition,
    previousEnd,
  })
  const spans = spansOf([life(1, 0, 0), life(2, 8192, 5000), life(3, 16384, 16384), life(4, 12288, 9000)])
  assert.deepEqual(
    spans.map(({ number, first, end }) => [number, first, end]),
    [
      [1, 0, 5000],
      [2, 8192, 9000],
      [4, 12288, Number.POSITIVE_INFINITY],
    ],
  )
  assert.equal(skipVoid(spans, 4999), 4999)
  assert.equal(skipVoid(spans, 5000), 8192)
  assert.equal(skipVoid(spans, 10_000), 12288)
})

test('lives that no entry needs are forgotten, lives that hold nothing give way, others never', () => {
  const life = (number: number, at: number): Incarnation => ({ ...LIFE_1, number, firstPosition: at, previousEnd: at })
  const full = Array.from({ length: 1025 }, (_, index) => life(index + 1, index * 4096))
  assert.equal(pruneIncarnations(full, 0), null)
  assert.equal(pruneIncarnations(full, 1024 * 4096)?.length, 256)
  const idle = Array.from({ length: 1025 }, (_, index) => life(index + 1, 4096))
  assert.equal(pruneIncarnations(idle, 0)?.length, 1024)
})

test('a superblock with a field that cannot be is damaged, however good its checksum', () => {
  const lies: readonly Partial<Superblock>[] = [
    { ringBytes: 0 },
    { ringBytes: 5000 },
    { ringBytes: Number.MAX_SAFE_INTEGER - 4095 },
    { durableEnd: 2 ** 40 },
    { tail: { ...SUPERBLOCK.tail, position: 4097 } },
    { tail: { ...SUPERBLOCK.tail, entriesEnd: 8192 } },
    { checkpoint: { ...SUPERBLOCK.tail, position: 0, entriesEnd: 0 } },
    { checkpoint: { ...SUPERBLOCK.tail, position: 2 ** 40 } },
    { incarnations: [LIFE_2, LIFE_1] },
    { incarnations: [LIFE_1, { ...LIFE_2, firstPosition: 8191 }] },
    { incarnations: [LIFE_1, { ...LIFE_2, previousEnd: 8193 }] },
    { incarnations: [{ ...LIFE_1, firstLsn: 0 }] },
    { layout: { ...RESIZED, shift: 4097 } },
    { layout: { ...RESIZED, shift: RESIZED.ringBytes } },
    { layout: { ...RESIZED, pieces: RESIZED.pieces.slice(1) } },
    { layout: { ...RESIZED, pieces: [...RESIZED.pieces, { place: 0, length: 4096 }] } },
  ]
  const slotOf = (superblock: Superblock): Buffer => {
    const slot = Buffer.alloc(SUPERBLOCK_SLOT_BYTES)
    encodeSuperblock(superblock).copy(slot)
    return slot
  }
  assert.equal(decodeSlot(slotOf(SUPERBLOCK)).kind, 'valid')
  for (const lie of lies)
    assert.deepEqual(
      decodeSlot(slotOf({ ...SUPERBLOCK, ...lie })),
      { kind: 'damaged', why: 'field' },
      JSON.stringify(lie),
    )
})
