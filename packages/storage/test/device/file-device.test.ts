import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { DiskCode, DiskError } from '../../src/disk/disk-error.js'
import { FileDevice, openBlockDevice } from '../../src/device/file-device.js'
import { FaultDisk, FaultDiskProvider } from '../../src/testing/index.js'

function fails(code: DiskCode): (error: DiskError) => boolean {
  return (error) => error.code === code
}

describe('FileDevice', () => {
  it('bytes behind the last whole block are not used', async () => {
    const device = new FileDevice(new FaultDisk({ sizeBytes: 1535 }))
    assert.equal(device.sizeBytes, 1024)
    await assert.rejects(device.read(Buffer.alloc(1), 1024), fails('DISK_RANGE'))
    await assert.rejects(device.write([Buffer.alloc(512), Buffer.alloc(1)], 512), fails('DISK_RANGE'))
    await assert.rejects(device.zero(0, 1025), fails('DISK_RANGE'))
    await assert.rejects(device.discard(1024, 1), fails('DISK_RANGE'))
  })

  it('a disk without a whole block is refused and closed', async () => {
    const provider = new FaultDiskProvider()
    await provider.create('short', 511)
    await assert.rejects(openBlockDevice(provider, 'short', { exclusive: true }), fails('DISK_TOO_SMALL'))
    assert.equal(provider.handles('short').length, 1, 'only the handle of its making is left')
    await assert.rejects(openBlockDevice(provider, 'none'), fails('DISK_MISSING'))
  })

  it('reads, writes, zeroes and discards any range of bytes, and only a sync makes them last', async () => {
    const provider = new FaultDiskProvider()
    provider.addDevice('/dev/a', 1024 * 1024)
    const device = await openBlockDevice(provider, '/dev/a', { exclusive: true })
    assert.equal(device.canDiscard, true)
    await device.write([Buffer.alloc(100, 1), Buffer.alloc(100, 2)], 300)
    await device.sync()
    await device.zero(310, 10)
    await device.discard(350, 0)
    await device.discard(390, 20)
    const bytes = Buffer.alloc(200)
    await device.read(bytes, 300)
    assert.equal(bytes.filter((byte) => byte === 0).length, 30)
    const after = provider.powerCut({ kind: 'lose-all' })
    await (await openBlockDevice(after, '/dev/a')).read(bytes, 300)
    assert.equal(bytes.filter((byte) => byte === 0).length, 0)
  })

  it('a failing disk is passed on as it is', async () => {
    const disk = new FaultDisk({ sizeBytes: 4096 })
    const device = new FileDevice(disk)
    disk.inject({ on: 'sync', error: 'EIO' })
    await assert.rejects(device.sync(), fails('DISK_IO'))
    disk.inject({ on: 'write', error: 'ENOSPC' })
    await assert.rejects(device.write([Buffer.alloc(1)], 0), fails('DISK_FULL'))
  })
})
