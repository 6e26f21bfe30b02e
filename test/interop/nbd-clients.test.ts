/**
 * Real NBD clients against a real primary with a real agent: each does what it does for its users, and afterwards both
 * sides hold the same bytes.
 */
import assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { requireClients } from '../support/clients.js'
import { Cluster } from '../support/cluster.js'
import { assertSidesEqual, exportHash, fileHash } from '../support/equality.js'
import { mustRun, runCommand } from '../support/program.js'
import { seededPrng } from '../support/seed.js'

const MIB = 1024 * 1024
const SIZE = 64 * MIB

describe('real NBD clients', () => {
  let cluster: Cluster

  before(async () => {
    cluster = await Cluster.start({
      label: 'interop',
      logSize: '96m',
      devices: [
        { name: 'data', sizeBytes: SIZE },
        { name: 'other', sizeBytes: 16 * MIB },
      ],
      slinks: [{ words: ['--policy', 'async'] }],
    })
  })
  after(() => cluster.close())

  test('nbdinfo lists every export with its size and what it can do', async (t) => {
    const tools = requireClients(t, 'nbdinfo')
    if (tools === null) return
    const uri = `nbd+unix://?socket=${cluster.nbdSocket}`
    const { stdout } = await mustRun(tools.nbdinfo, ['--list', '--json', uri])
    const listed = JSON.parse(stdout) as { exports: Record<string, unknown>[] }
    const byName = new Map(listed.exports.map((each) => [each['export-name'], each]))
    assert.deepEqual([...byName.keys()].sort(), ['data', 'other'])
    const data = byName.get('data') ?? {}
    assert.equal(data['export-size'], SIZE)
    for (const can of ['can_flush', 'can_fua', 'can_trim', 'can_zero', 'can_multi_conn', 'can_df']) {
      assert.equal(data[can], true, can)
    }
    assert.equal(data['is_read_only'], false)
  })

  test('nbdinfo maps an export, and what was written is data', async (t) => {
    const tools = requireClients(t, 'nbdinfo')
    if (tools === null) return
    const client = await cluster.connect('other')
    await client.write(4 * MIB, Buffer.alloc(MIB, 1))
    await client.disconnect()
    const { stdout } = await mustRun(tools.nbdinfo, ['--map', '--json', cluster.nbdUri('other')])
    const extents = JSON.parse(stdout) as { offset: number; length: number; type: number }[]
    assert.equal(
      extents.reduce((sum, each) => sum + each.length, 0),
      16 * MIB,
    )
    const covers = extents.filter((each) => each.offset < 5 * MIB && each.offset + each.length > 4 * MIB)
    assert.ok(covers.length > 0 && covers.every((each) => each.type === 0), 'what was written is no hole')
  })

  test('nbdcopy carries an image in and out over several connections', async (t) => {
    const tools = requireClients(t, 'nbdcopy')
    if (tools === null) return
    const prng = seededPrng(t, 'nbdcopy')
    const image = join(cluster.folder, 'in.img')
    writeFileSync(image, Buffer.concat([prng.bytes(20 * MIB), Buffer.alloc(12 * MIB), prng.bytes(16 * MIB)]))
    truncateSync(image, SIZE)
    const uri = cluster.nbdUri('data')
    await mustRun(tools.nbdcopy, ['--connections=4', '--requests=16', '--flush', image, uri])
    assert.equal(await exportHash(cluster, 'data'), await fileHash(image))
    const back = join(cluster.folder, 'out.img')
    await mustRun(tools.nbdcopy, ['--connections=4', '--requests=16', uri, back])
    assert.equal(await fileHash(back), await fileHash(image))
    await assertSidesEqual(cluster)
  })

  test('qemu-img converts into an export and finds both sides identical', async (t) => {
    const tools = requireClients(t, 'qemu-img')
    if (tools === null) return
    const prng = seededPrng(t, 'qemu-img')
    const image = join(cluster.folder, 'source.img')
    writeFileSync(image, Buffer.concat([Buffer.alloc(8 * MIB), prng.bytes(24 * MIB), Buffer.alloc(16 * MIB, 0xa5)]))
    truncateSync(image, SIZE)
    const uri = cluster.nbdUri('data')
    await mustRun(tools['qemu-img'], ['convert', '-n', '-f', 'raw', '-O', 'raw', '-m', '8', '-W', image, uri])
    await mustRun(tools['qemu-img'], ['compare', '-f', 'raw', '-F', 'raw', image, uri])
    await assertSidesEqual(cluster)
    const replica = cluster.agent().devices[0]?.path ?? ''
    await mustRun(tools['qemu-img'], ['compare', '-f', 'raw', '-F', 'raw', replica, uri])
  })

  test('qemu-io reads back the patterns that it wrote, zeroed and discarded', async (t) => {
    const tools = requireClients(t, 'qemu-io')
    if (tools === null) return
    const commands = [
      'write -P 0x11 0 64k',
      'write -P 0x22 12k 512',
      'write -f -P 0x33 1048064 1k',
      'aio_write -P 0x44 2m 4m',
      'aio_write -P 0x55 3m 1m',
      'aio_flush',
      'write -z 4m 1m',
      'discard 5m 64k',
      'flush',
      'read -P 0x11 0 12k',
      'read -P 0x22 12k 512',
      'read -P 0x11 12800 52736',
      'read -P 0x33 1048064 1k',
      'read -P 0x55 3m 1m',
      'read -P 0 4m 1m',
      'read -P 0 5m 64k',
    ]
    const args = ['-f', 'raw', '-t', 'none', ...commands.flatMap((command) => ['-c', command]), cluster.nbdUri('data')]
    const { stdout, stderr } = await mustRun(tools['qemu-io'], args)
    assert.doesNotMatch(stdout + stderr, /Pattern verification failed|error/i)
    const wrong = await runCommand(tools['qemu-io'], ['-f', 'raw', '-c', 'read -P 0x12 0 4k', cluster.nbdUri('data')])
    assert.match(wrong.stdout + wrong.stderr, /Pattern verification failed/, 'canary: a wrong pattern is noticed')
    await assertSidesEqual(cluster)
  })

  test('fio verifies what it wrote at random, with checksums', async (t) => {
    const tools = requireClients(t, 'fio')
    if (tools === null) return
    const engines = (await runCommand(tools.fio, ['--enghelp'])).stdout
    const target = engines.includes('nbd') ? ['--ioengine=nbd', `--uri=${cluster.nbdUri('data')}`] : null
    assert.ok(target, 'this fio speaks NBD')
    const random = seededPrng(t, 'fio').between(1, 1_000_000)
    await mustRun(tools.fio, [
      '--name=verify',
      ...target,
      '--rw=randwrite',
      '--bsrange=4k-64k',
      '--bs_unaligned=0',
      '--size=32m',
      '--iodepth=16',
      '--fsync=64',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--do_verify=1',
      '--serialize_overlap=1',
      `--randseed=${random}`,
    ])
    await assertSidesEqual(cluster)
  })
})
