/**
 * What every {@link Disk} does, whatever it is made of: called once for each implementation.
 *
 * `open` answers a fresh disk of exactly {@link SUITE_DISK_BYTES}, all zeros.
 */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Disk } from '../../src/disk/disk.js'
import type { DiskError } from '../../src/disk/disk-error.js'
import { Prng } from '../../src/testing/index.js'

export const SUITE_DISK_BYTES = 4 * 1024 * 1024

async function readBack(disk: Disk, offset: number, length: number): Promise<Buffer> {
  const into = Buffer.alloc(length, 0xee)
  await disk.read(into, offset)
  return into
}

export function diskSuite(open: () => Promise<Disk>, seed: number | string): void {
  it('a fresh disk has its size and reads as zeros', async () => {
    const disk = await open()
    assert.equal(disk.sizeBytes, SUITE_DISK_BYTES)
    assert.ok(disk.sectorBytes === 512 || disk.sectorBytes === 4096)
    assert.deepEqual(await readBack(disk, 0, SUITE_DISK_BYTES), Buffer.alloc(SUITE_DISK_BYTES))
    await disk.close()
  })

  it('a write of many buffers of any length, empty ones too, lands in order at any offset', async () => {
    const disk = await open()
    const prng = new Prng(seed)
    const chunks = Array.from({ length: 2500 }, (_, at) => prng.bytes(at % 7 === 0 ? 0 : prng.below(700)))
    await disk.write(chunks, 12_345)
    const whole = Buffer.concat(chunks)
    assert.deepEqual(await readBack(disk, 12_345, whole.length), whole)
    assert.deepEqual(await readBack(disk, 12_000, 345), Buffer.alloc(345))
    await disk.write([], 0)
    await disk.write([Buffer.alloc(0)], SUITE_DISK_BYTES)
    await disk.sync()
    await disk.close()
  })

  it('nothing beyond the end is read or written, and nothing of such a write lands', async () => {
    const disk = await open()
    const beyond = (error: DiskError): boolean => error.code === 'DISK_RANGE'
    await assert.rejects(disk.read(Buffer.alloc(2), SUITE_DISK_BYTES - 1), beyond)
    await assert.rejects(disk.write([Buffer.alloc(2, 1)], SUITE_DISK_BYTES - 1), beyond)
    await assert.rejects(disk.discard(SUITE_DISK_BYTES, 512), beyond)
    await assert.rejects(disk.writeZeroes(SUITE_DISK_BYTES - 512, 1024), beyond)
    assert.deepEqual(await readBack(disk, SUITE_DISK_BYTES - 1, 1), Buffer.alloc(1))
    await disk.close()
  })

  it('after discard and writeZeroes exactly the range reads as zeros, whatever its alignment', async () => {
    const disk = await open()
    const prng = new Prng(seed)
    const model = prng.bytes(SUITE_DISK_BYTES)
    await disk.write([Buffer.from(model)], 0)
    for (let round = 0; round < 40; round++) {
      const offset = prng.below(SUITE_DISK_BYTES)
      const length = prng.below(Math.min(300_000, SUITE_DISK_BYTES - offset) + 1)
      if (prng.chance(0.5)) await disk.discard(offset, length)
      else await disk.writeZeroes(offset, length)
      model.fill(0, offset, offset + length)
    }
    assert.ok((await readBack(disk, 0, SUITE_DISK_BYTES)).equals(model))
    await disk.close()
  })

  it('extents fill the range without gaps, and what they call a hole reads as zeros', async () => {
    const disk = await open()
    const prng = new Prng(seed)
    await disk.write([prng.bytes(200_000)], 1_000_000)
    await disk.write([prng.bytes(4096)], 3_000_000)
    await disk.discard(1_048_576, 65_536)
    for (const [offset, length] of [
      [0, SUITE_DISK_BYTES],
      [1_000_100, 5000],
      [900_000, 2_300_000],
      [77, 0],
    ] as const) {
      const runs = await disk.extents(offset, length)
      if (runs === null) continue
      let at = offset
      for (const run of runs) {
        assert.ok(run.length > 0)
        if (run.hole)
          assert.ok((await readBack(disk, at, run.length)).equals(Buffer.alloc(run.length)), `hole at ${at}`)
        at += run.length
      }
      assert.equal(at, offset + length)
    }
    await disk.close()
  })

  it('random reads, writes and zeroing, many under way at a time, agree with a model', async () => {
    const disk = await open()
    const prng = new Prng(seed)
    const model = Buffer.alloc(SUITE_DISK_BYTES)
    const slots = 8
    const slotBytes = SUITE_DISK_BYTES / slots
    for (let round = 0; round < 30; round++) {
      await Promise.all(
        Array.from({ length: slots }, async (_, slot) => {
          const offset = slot * slotBytes + prng.below(slotBytes - 70_000)
          const bytes = prng.bytes(1 + prng.below(70_000))
          if (prng.chance(0.2)) {
            model.fill(0, offset, offset + bytes.length)
            await (prng.chance(0.5) ? disk.discard(offset, bytes.length) : disk.writeZeroes(offset, bytes.length))
          } else {
            bytes.copy(model, offset)
            await disk.write([bytes.subarray(0, 10), bytes.subarray(10)], offset)
          }
          assert.ok((await readBack(disk, offset, bytes.length)).equals(model.subarray(offset, offset + bytes.length)))
        }),
      )
      if (prng.chance(0.2)) await disk.sync()
    }
    assert.ok((await readBack(disk, 0, SUITE_DISK_BYTES)).equals(model))
    await disk.close()
  })

  it('close waits for what is under way', async () => {
    const disk = await open()
    const write = disk.write([Buffer.alloc(1_000_000, 5)], 0)
    let written = false
    void write.then(() => {
      written = true
    })
    await disk.close()
    assert.equal(written, true)
  })
}
