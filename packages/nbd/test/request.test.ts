import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Command, CommandFlag } from '../src/constants.js'
import { MemoryExport, type MemoryExportOptions, NbdErrno } from '../src/index.js'
import { judge, RequestHeader, rulesOf } from '../src/request.js'
import { encodeRequest, type RequestShape, smallLimits } from './support.js'

const SIZE = 1 << 20
const { READ, WRITE, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS } = Command
const { FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO } = CommandFlag

interface Setting extends Partial<MemoryExportOptions> {
  readonly structured?: boolean
  readonly context?: boolean
}

function judged(shape: RequestShape, setting: Setting = {}): number {
  const target = new MemoryExport({ sizeBytes: SIZE, minimumBlockBytes: 512, ...setting })
  const session = {
    export: target,
    structured: setting.structured ?? true,
    allocationContext: setting.context ?? true,
  }
  const header = new RequestHeader()
  assert.ok(header.parse(encodeRequest(shape), 0))
  const refusal = judge(header, rulesOf(session, smallLimits))
  return refusal === null ? 0 : refusal.errno
}

const { EPERM, EINVAL, ENOSPC, EOVERFLOW } = NbdErrno
const table: readonly [claim: string, shape: RequestShape, errno: number, setting?: Setting][] = [
  ['a read within the export passes', { type: READ, offset: 512, length: 1024 }, 0],
  ['a read up to the last byte passes', { type: READ, offset: SIZE - 512, length: 512 }, 0],
  ['a read beyond the end', { type: READ, offset: SIZE - 512, length: 1024 }, EINVAL],
  ['a read far beyond what a number holds', { type: READ, offset: 2 ** 53 - 512 * 2, length: 512 }, EINVAL],
  ['a write beyond the end', { type: WRITE, offset: SIZE, length: 512 }, ENOSPC],
  ['zeroes beyond the end', { type: WRITE_ZEROES, offset: SIZE, length: 512 }, ENOSPC],
  ['a trim beyond the end', { type: TRIM, offset: SIZE, length: 512 }, EINVAL],
  ['a cache beyond the end', { type: CACHE, offset: SIZE, length: 512 }, EINVAL],
  ['a block status beyond the end', { type: BLOCK_STATUS, offset: SIZE, length: 512 }, EINVAL],
  ['an unaligned offset', { type: READ, offset: 1, length: 512 }, EINVAL],
  ['an unaligned length', { type: WRITE, offset: 0, length: 100 }, EINVAL],
  ['any offset passes when blocks have one byte', { type: READ, offset: 1, length: 3 }, 0, { minimumBlockBytes: 1 }],
  ['a read of nothing', { type: READ }, EINVAL],
  ['a write of nothing', { type: WRITE }, EINVAL],
  ['a write of the largest payload passes', { type: WRITE, length: 64 * 1024 }, 0],
  ['a write above the largest payload', { type: WRITE, length: 64 * 1024 + 512 }, EINVAL],
  ['a read above the largest payload', { type: READ, length: 64 * 1024 + 512 }, EOVERFLOW],
  ['a simple read above the largest payload', { type: READ, length: 65 * 1024 }, EINVAL, { structured: false }],
  ['a trim above the largest payload passes', { type: TRIM, length: SIZE }, 0],
  ['zeroes above the largest payload pass', { type: WRITE_ZEROES, length: SIZE }, 0],
  ['a flush passes', { type: FLUSH }, 0],
  ['a flush with an offset', { type: FLUSH, offset: 512 }, EINVAL],
  ['a flush with a length', { type: FLUSH, length: 512 }, EINVAL],
  ['a write to a read-only export', { type: WRITE, length: 512 }, EPERM, { readOnly: true }],
  ['a trim of a read-only export', { type: TRIM, length: 512 }, EPERM, { readOnly: true }],
  ['zeroes to a read-only export', { type: WRITE_ZEROES, length: 512 }, EPERM, { readOnly: true }],
  ['a read of a read-only export passes', { type: READ, length: 512 }, 0, { readOnly: true }],
  ['a trim that is not offered', { type: TRIM, length: 512 }, EINVAL, { canTrim: false }],
  ['zeroes that are not offered', { type: WRITE_ZEROES, length: 512 }, EINVAL, { canWriteZeroes: false }],
  ['a block status without a context', { type: BLOCK_STATUS, length: 512 }, EINVAL, { context: false }],
  ['an unknown command', { type: 8, length: 512 }, EINVAL],
  ['the last command number', { type: 0xffff, length: 512 }, EINVAL],
  ['an unknown flag', { type: READ, flags: 32, length: 512 }, EINVAL],
  ['DF without structured replies', { type: READ, flags: DF, length: 512 }, EINVAL, { structured: false }],
  ['DF for a write', { type: WRITE, flags: DF, length: 512 }, EINVAL],
  ['REQ_ONE for a read', { type: READ, flags: REQ_ONE, length: 512 }, EINVAL],
  ['NO_HOLE for a trim', { type: TRIM, flags: NO_HOLE, length: 512 }, EINVAL],
  ['FAST_ZERO for a write', { type: WRITE, flags: FAST_ZERO, length: 512 }, EINVAL],
  ['all flags of zeroes pass', { type: WRITE_ZEROES, flags: FUA | NO_HOLE | FAST_ZERO, length: 512 }, 0],
]

for (const [claim, shape, errno, setting] of table) {
  test(errno === 0 ? claim : `${claim} is refused with ${errno}`, () => {
    assert.equal(judged(shape, setting), errno)
  })
}

test('FUA is accepted for every command', () => {
  for (const type of [READ, WRITE, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS]) {
    assert.equal(judged({ type, flags: FUA, length: 512 }), 0)
  }
  assert.equal(judged({ type: FLUSH, flags: FUA }), 0)
})

test('every field of a request is read from its place', () => {
  const header = new RequestHeader()
  const bytes = Buffer.from('ff25609513000b00060102030405060708000000123456789a0000fe00', 'hex')
  assert.ok(header.parse(bytes, 1))
  assert.deepEqual(
    { ...header },
    {
      flags: 0x0b,
      type: 6,
      cookieHigh: 0x01020304,
      cookieLow: 0x05060708,
      offset: 0x123456789a,
      offsetLow: 0x3456789a,
      length: 0xfe00,
    },
  )
  assert.equal(header.parse(Buffer.alloc(28), 0), false)
})
