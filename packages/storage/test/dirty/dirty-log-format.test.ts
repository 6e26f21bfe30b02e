import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { DirtyLog } from '../../src/dirty/dirty-log.js'
import {
  decodeHeader,
  dirtyLogStoreBytes,
  encodeHeader,
  HEADER_OFFSET,
  IDENTITY_TEXT_BYTES_MAX,
  openSector,
  sealSector,
  SECTOR_OFFSET,
  type DirtyLogHeader,
} from '../../src/dirty/dirty-log-format.js'
import { at, identityOf, placeOn, storeDisk } from './dirty-log-support.js'

const page = readFileSync(new URL('../../../../../docs/internals/dirty-log-format.md', import.meta.url), 'utf8')

const HEADER: DirtyLogHeader = {
  identity: identityOf(100, { groupId: 'x'.repeat(IDENTITY_TEXT_BYTES_MAX), mappingId: 'ü' }),
  generation: 2 ** 52,
  goodGeneration: 2 ** 40 + 1,
  basePoint: { incarnation: 0xffff_ffff, lsn: 2 ** 53 - 2 },
  pagesDigest: 0xffff_ffff,
}

/** The bytes of the example on the page, with its runs of zeros filled in. */
function example(): Buffer {
  const lines = /```hex\n([^`]*)```/.exec(page)?.[1]?.trim().split('\n') ?? []
  const bytes = Buffer.alloc(dirtyLogStoreBytes(100 * 2 ** 20, 2 ** 20))
  for (const line of lines) {
    const match = /^([0-9a-f]{8}) {2}([0-9a-f ]+)$/.exec(line)
    if (match?.[1] !== undefined && match[2] !== undefined) {
      Buffer.from(match[2].replaceAll(' ', ''), 'hex').copy(bytes, Number.parseInt(match[1], 16))
    }
  }
  return bytes
}

describe('the format of a dirty log', () => {
  it('is byte for byte the example of its page, and the example opens', async () => {
    const disk = storeDisk(identityOf(100))
    const log = await DirtyLog.create(placeOn(disk), identityOf(100), { initial: 'all-clean', basePoint: at(3) })
    for (const region of [0, 20, 21, 99]) log.markRegions(region, 1)
    await log.flush(at(10))
    assert.equal(disk.peek().toString('hex'), example().toString('hex'))
    const stored = storeDisk(identityOf(100))
    stored.poke(example(), 0)
    const opened = await DirtyLog.open(placeOn(stored), identityOf(100))
    assert.deepEqual([opened.found, opened.log.bitmap.dirtyCount, opened.log.basePoint], ['ok', 4, at(10)])
  })

  it('has the offsets that its page names', () => {
    const [headerTable, sectorTable] = [...page.matchAll(/## (?:Header|Bitmap sector)[^#]*/g)].map(([text]) =>
      [...text.matchAll(/^\| (\d+) \| (\d+) \|/gm)].map(([, offset, size]) => [Number(offset), Number(size)] as const),
    )
    for (const [table, offsets] of [
      [headerTable, HEADER_OFFSET],
      [sectorTable, SECTOR_OFFSET],
    ] as const) {
      assert.deepEqual(
        table?.map(([offset]) => offset),
        Object.values(offsets),
      )
      let end = 0
      for (const [offset, size] of table ?? []) {
        assert.equal(offset, end)
        end = offset + size
      }
      assert.equal(end, 512)
    }
  })

  it('a header comes back as it was, at its limits', () => {
    assert.deepEqual(decodeHeader(encodeHeader(HEADER).subarray(0, 512)), { kind: 'valid', header: HEADER })
  })

  it('a header is told apart: never written, not ours, damaged anywhere, of another version', () => {
    const kindOf = (change: (sector: Buffer) => void): string => {
      const sector = encodeHeader(HEADER).subarray(0, 512)
      change(sector)
      const scan = decodeHeader(sector)
      return scan.kind === 'unknown' ? scan.why : scan.kind
    }
    assert.equal(
      kindOf((sector) => sector.fill(0)),
      'empty',
    )
    assert.equal(
      kindOf((sector) => sector.write('EXT4', 0)),
      'magic',
    )
    for (let at = 4; at < 512; at += 7)
      assert.equal(
        kindOf((sector) => sector.writeUInt8(sector.readUInt8(at) ^ 1, at)),
        'crc',
      )
  })

  it('a sector that is torn, misplaced, of another log or damaged anywhere is not taken', () => {
    const sector = Buffer.alloc(512, 0x55)
    sealSector(sector, 9, { generation: 3, goodGeneration: 2, tag: 77 })
    assert.deepEqual(openSector(sector, 9, 77), { generation: 3, goodGeneration: 2, tag: 77 })
    assert.equal(openSector(sector, 8, 77), null)
    assert.equal(openSector(sector, 9, 78), null)
    for (let at = 0; at < 512; at++) {
      const damaged = Buffer.from(sector)
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at)
      assert.equal(openSector(damaged, 9, 77), null, `byte ${at}`)
    }
    assert.equal(openSector(Buffer.alloc(512), 0, 0), null)
  })
})
