import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { DISK_CODES, type DiskCode, type DiskError } from '../../src/disk/disk-error.js'
import { ffiProblem, systemCalls, SystemCallError } from '../../src/disk/ffi.js'
import { NodeDiskProvider } from '../../src/disk/node-disk-provider.js'
import { writeFully, writeFullySync } from '../../src/disk/node-disk-io.js'
import { seedFromEnv } from '../../src/testing/index.js'
import { diskSuite, SUITE_DISK_BYTES } from './disk-suite.js'
import { attachLoop, loopProblem, type LoopDevice } from './loop-device.js'

const MIB = 1024 * 1024
const seed = seedFromEnv('node-disk')
const directory = fs.mkdtempSync(join(tmpdir(), 'sitelink-disk-'))
const noLoop = unlessRequired(loopProblem(directory))
const noFfi = unlessRequired(ffiProblem() ?? false)
const loops: LoopDevice[] = []
let nextFile = 0
const provider = new NodeDiskProvider()
const plain = new NodeDiskProvider({ ffi: null })
const quick = new NodeDiskProvider({
  clock: { nowMs: () => performance.now(), soon: (action) => void setImmediate(action) },
})

after(() => {
  for (const loop of loops) loop.detach()
  fs.rmSync(directory, { recursive: true })
})

/** A reason to skip, unless this run demands that everything is there. */
function unlessRequired(problem: string | false): string | false {
  assert.ok(problem === false || process.env['SITELINK_REQUIRE_CLIENTS'] !== '1', String(problem))
  return problem
}

function fresh(): string {
  return join(directory, `file-${nextFile++}`)
}

function loop(sizeBytes: number, sectorBytes: 512 | 4096 = 512): LoopDevice {
  const device = attachLoop(fresh(), sizeBytes, sectorBytes)
  loops.push(device)
  return device
}

function fails(code: DiskCode): (error: DiskError) => boolean {
  return (error) => {
    assert.equal(error.name, 'DiskError')
    assert.equal(error.code, code, error.message)
    assert.ok(error.message.includes(DISK_CODES[code].text))
    return true
  }
}

describe('NodeDisk on a file', { skip: noFfi }, () => {
  diskSuite(() => provider.create(fresh(), SUITE_DISK_BYTES), seed)
})

describe('NodeDisk on a file, small writes in the calling thread', () => {
  diskSuite(() => quick.create(fresh(), SUITE_DISK_BYTES), seed)
})

describe('NodeDisk on a file, without koffi', () => {
  diskSuite(() => plain.create(fresh(), SUITE_DISK_BYTES), seed)
})

describe('NodeDisk on a block device', { skip: noLoop }, () => {
  diskSuite(() => provider.open(loop(SUITE_DISK_BYTES).path, { exclusive: true }), seed)
})

describe('NodeDisk on a block device with 4096-byte sectors, without koffi', { skip: noLoop }, () => {
  diskSuite(() => plain.open(loop(SUITE_DISK_BYTES, 4096).path, { exclusive: true }), seed)
})

describe('NodeDisk on a block device with 4096-byte sectors', { skip: noLoop }, () => {
  diskSuite(() => provider.open(loop(SUITE_DISK_BYTES, 4096).path, { exclusive: true }), seed)
})

describe('system calls', () => {
  it('say plainly what is missing without the package', () => {
    const problem = ffiProblem()
    assert.ok(problem === null || /koffi cannot be used \(.*\); without it discarded space/.test(problem))
    assert.equal(systemCalls() === null, problem !== null)
  })

  it('errno of a call on a worker thread is its own, however many run', { skip: noFfi }, async () => {
    const ffi = systemCalls()
    assert.ok(ffi !== null)
    const wrong = await Promise.all(
      Array.from({ length: 200 }, async (_, at) => {
        const expected = at % 2 === 0 ? 'EBADF' : 'EINVAL'
        const call = at % 2 === 0 ? ffi.punchHole(-1, 0, 1) : ffi.zeroRange(1, -5, 1)
        const error: unknown = await call.then(
          () => null,
          (reason: unknown) => reason,
        )
        return error instanceof SystemCallError && error.code === expected ? null : String(error)
      }),
    )
    assert.deepEqual(
      wrong.filter((text) => text !== null),
      [],
    )
  })
})

describe('files', () => {
  it('a write that the kernel cuts short is carried on from where it stopped', async (context) => {
    const chunks = Array.from({ length: 3000 }, (_, at) => Buffer.alloc(at % 13, at % 251))
    const whole = Buffer.concat(chunks)
    const landed = Buffer.alloc(whole.length)
    let calls = 0
    const put = (buffers: readonly Buffer[], position: number): number => {
      calls++
      const bytes = Buffer.concat(buffers as Buffer[]).subarray(0, 1 + ((calls * 37) % 101))
      bytes.copy(landed, position)
      return bytes.length
    }
    type Done = (error: null, bytes: number) => void
    context.mock.method(fs, 'writev', (_: number, buffers: Buffer[], position: number, done: Done) => {
      assert.ok(buffers.length <= 1024)
      done(null, put(buffers, position))
    })
    context.mock.method(
      fs,
      'write',
      (_: number, buffer: Buffer, at: number, length: number, position: number, done: Done) => {
        done(null, put([buffer.subarray(at, at + length)], position))
      },
    )
    context.mock.method(fs, 'writevSync', (_: number, buffers: Buffer[], position: number) => {
      assert.ok(buffers.length <= 1024)
      return put(buffers, position)
    })
    context.mock.method(fs, 'writeSync', (_: number, buffer: Buffer, at: number, length: number, position: number) =>
      put([buffer.subarray(at, at + length)], position),
    )
    syncBuiltinESMExports()
    try {
      await writeFully(99, chunks, 0)
      assert.ok(calls > 100)
      assert.ok(landed.equals(whole))
      calls = 0
      landed.fill(0)
      writeFullySync(99, chunks, 0)
    } finally {
      context.mock.restoreAll()
      syncBuiltinESMExports()
    }
    assert.ok(calls > 100)
    assert.ok(landed.equals(whole))
  })

  it('create never overwrites, not even through a dangling symlink', async () => {
    const path = fresh()
    fs.writeFileSync(path, 'precious')
    await assert.rejects(provider.create(path, MIB), fails('DISK_EXISTS'))
    assert.equal(fs.readFileSync(path, 'utf8'), 'precious')
    const link = fresh()
    fs.symlinkSync(fresh(), link)
    await assert.rejects(provider.create(link, MIB), fails('DISK_EXISTS'))
  })

  it('create writes every byte once, tells its progress, and keeps the file to its owner', async () => {
    const path = fresh()
    const progress: number[] = []
    const disk = await provider.create(path, 3 * MIB + 512, {
      preallocate: true,
      progress: (bytes) => progress.push(bytes),
    })
    const stats = fs.statSync(path)
    assert.ok(stats.blocks * 512 >= 3 * MIB + 512)
    assert.equal(stats.mode & 0o777, 0o600)
    assert.deepEqual(progress, [MIB, 2 * MIB, 3 * MIB, 3 * MIB + 512])
    await disk.close()
  })

  it('a file that does not fit is removed again', { skip: noLoop }, async () => {
    const device = loop(16 * MIB)
    execFileSync('mkfs.ext4', ['-q', device.path])
    const mount = join(directory, 'full')
    fs.mkdirSync(mount)
    execFileSync('mount', [device.path, mount])
    try {
      for (const each of [provider, plain]) {
        await assert.rejects(each.create(join(mount, 'log'), 64 * MIB, { preallocate: true }), fails('DISK_FULL'))
        assert.equal(fs.existsSync(join(mount, 'log')), false)
      }
      const sparse = await provider.create(join(mount, 'sparse'), 64 * MIB)
      const write = async (): Promise<void> => {
        for (let at = 0; at < 64; at++) await sparse.write([Buffer.alloc(MIB, 1)], at * MIB)
        await sparse.sync()
      }
      await assert.rejects(write(), fails('DISK_FULL'))
      await sparse.close()
    } finally {
      execFileSync('umount', [mount])
    }
  })

  it('what something else made larger is seen once its size is looked at, and its bytes are left alone', async () => {
    const path = join(directory, 'grown')
    const disk = await provider.create(path, MIB)
    fs.appendFileSync(path, 'somebody')
    assert.equal(disk.sizeBytes, MIB)
    await disk.measure()
    assert.equal(disk.sizeBytes, MIB + 8)
    const bytes = Buffer.alloc(8)
    await disk.read(bytes, MIB)
    assert.equal(bytes.toString(), 'somebody')
    fs.truncateSync(path, MIB)
    await disk.measure()
    assert.equal(disk.sizeBytes, MIB + 8, 'one that was cut off says so where it is read')
    await disk.close()
  })

  it('resize is seen at once; what is added reads as zeros', async () => {
    const path = fresh()
    const disk = await provider.create(path, MIB)
    await disk.write([Buffer.alloc(MIB, 1)], 0)
    await disk.resize(MIB / 2)
    await disk.resize(MIB)
    const tail = Buffer.alloc(MIB / 2, 7)
    await disk.read(tail, MIB / 2)
    assert.ok(tail.equals(Buffer.alloc(MIB / 2)))
    await disk.close()
    assert.equal(fs.statSync(path).size, MIB)
  })

  it('discarded space is given back and seen as a hole', { skip: noFfi }, async () => {
    const path = fresh()
    const disk = await provider.create(path, 4 * MIB, { preallocate: true })
    assert.equal(disk.canDiscard, true)
    await disk.write([Buffer.alloc(4 * MIB, 1)], 0)
    await disk.sync()
    const before = fs.statSync(path).blocks
    await disk.discard(MIB, MIB)
    assert.ok(fs.statSync(path).blocks <= before - (MIB / 512) * 0.9)
    assert.deepEqual(await disk.extents(0, 4 * MIB), [
      { length: MIB, hole: false },
      { length: MIB, hole: true },
      { length: 2 * MIB, hole: false },
    ])
    await disk.writeZeroes(0, 4 * MIB)
    assert.ok(fs.statSync(path).blocks >= before - 16)
    await disk.close()
  })

  it('a file that was cut under us fails its reads instead of giving less', async () => {
    const path = fresh()
    const disk = await provider.create(path, MIB)
    fs.truncateSync(path, 1000)
    await assert.rejects(disk.read(Buffer.alloc(1001), 0), fails('DISK_RANGE'))
    await disk.close()
    await assert.rejects(disk.read(Buffer.alloc(1), 0), fails('DISK_CLOSED'))
  })

  it('a disk opened read-only is not written', async () => {
    const path = fresh()
    await (await provider.create(path, MIB)).close()
    const disk = await provider.open(path, { readOnly: true })
    await assert.rejects(disk.write([Buffer.alloc(1)], 0), fails('DISK_READ_ONLY'))
    await assert.rejects(disk.discard(0, 1), fails('DISK_READ_ONLY'))
    await disk.read(Buffer.alloc(MIB), 0)
    await disk.close()
  })
})

describe('names', () => {
  it('a missing path, a directory and a character device are told apart', async () => {
    await assert.rejects(provider.open(fresh()), fails('DISK_MISSING'))
    await assert.rejects(provider.open(directory), fails('DISK_NOT_A_DEVICE'))
    await assert.rejects(provider.open('/dev/null'), fails('DISK_NOT_A_DEVICE'))
    assert.equal(await provider.exists(fresh()), null)
    await assert.rejects(provider.exists(directory), fails('DISK_NOT_A_DEVICE'))
    await assert.rejects(provider.create(join(directory, 'no', 'such', 'folder'), 1), fails('DISK_MISSING'))
  })

  it('a named pipe is refused without waiting for its other end', async () => {
    const path = fresh()
    execFileSync('mkfifo', [path])
    await assert.rejects(provider.open(path), fails('DISK_NOT_A_DEVICE'))
  })

  it('[DEV-06] symlinks and hard links are seen as the same file, a copy is not', async () => {
    const [path, hard, soft, copy] = [fresh(), fresh(), fresh(), fresh()]
    fs.writeFileSync(path, 'x')
    fs.linkSync(path, hard)
    fs.symlinkSync(path, soft)
    fs.copyFileSync(path, copy)
    const identity = await provider.identify(path)
    assert.equal(await provider.identify(hard), identity)
    assert.equal(await provider.identify(soft), identity)
    assert.notEqual(await provider.identify(copy), identity)
    await assert.rejects(provider.identify(fresh()), fails('DISK_MISSING'))
  })

  it('replaceFile leaves the old or the new content, one after the other, and no temporary file', async () => {
    const path = join(directory, 'small')
    assert.equal(await provider.readFile(path), null)
    await Promise.all(['one', 'two', 'three'].map((text) => provider.replaceFile(path, Buffer.from(text))))
    assert.equal(String(await provider.readFile(path)), 'three')
    assert.equal(fs.statSync(path).mode & 0o777, 0o600)
    fs.writeFileSync(join(directory, '.small.new'), 'left behind by a crash')
    await provider.replaceFile(path, Buffer.from('four'))
    assert.equal(String(await provider.readFile(path)), 'four')
    assert.deepEqual(
      fs.readdirSync(directory).filter((name) => name.endsWith('.new')),
      [],
    )
    await assert.rejects(provider.replaceFile(join(directory, 'none', 'x'), Buffer.alloc(0)), fails('DISK_MISSING'))
    await provider.removeFile(path)
    await provider.removeFile(path)
    assert.equal(await provider.readFile(path), null)
  })

  it('replaceFile keeps a symlink and replaces what it points to', async () => {
    const [target, link] = [fresh(), fresh()]
    fs.writeFileSync(target, 'old')
    fs.symlinkSync(target, link)
    await provider.replaceFile(link, Buffer.from('new'))
    assert.equal(fs.lstatSync(link).isSymbolicLink(), true)
    assert.equal(fs.readFileSync(target, 'utf8'), 'new')
  })
})

describe('exclusive', () => {
  for (const [label, each, skip] of [
    ['flock', provider, noFfi],
    ['a socket name', plain, false],
  ] as const) {
    it(`by ${label}: a second opener is refused at once, by any name, until the first closes`, { skip }, async () => {
      const [path, link] = [fresh(), fresh()]
      const disk = await each.create(path, MIB, { exclusive: true })
      fs.linkSync(path, link)
      await assert.rejects(each.open(link, { exclusive: true }), fails('DISK_IN_USE'))
      await (await each.open(link)).close()
      await disk.close()
      await (await each.open(link, { exclusive: true })).close()
    })
  }

  it('another process is kept out, and let in when the first one is killed', { skip: noFfi }, async () => {
    const path = fresh()
    await (await provider.create(path, MIB)).close()
    const module_ = new URL('../../src/disk/node-disk-provider.js', import.meta.url).href
    const script = `const { NodeDiskProvider } = await import(${JSON.stringify(module_)})
      await new NodeDiskProvider().open(${JSON.stringify(path)}, { exclusive: true })
      console.log('held'); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    await assert.rejects(provider.open(path, { exclusive: true }), fails('DISK_IN_USE'))
    child.kill('SIGKILL')
    await once(child, 'exit')
    await (await provider.open(path, { exclusive: true })).close()
  })

  it('a block device that is held or mounted is refused', { skip: noLoop }, async () => {
    const device = loop(16 * MIB)
    const disk = await provider.open(device.path, { exclusive: true })
    await assert.rejects(provider.open(device.path, { exclusive: true }), fails('DISK_IN_USE'))
    await disk.close()
    execFileSync('mkfs.ext4', ['-q', device.path])
    const mount = join(directory, 'mounted')
    fs.mkdirSync(mount)
    execFileSync('mount', [device.path, mount])
    try {
      await assert.rejects(provider.open(device.path, { exclusive: true }), fails('DISK_IN_USE'))
    } finally {
      execFileSync('umount', [mount])
    }
  })
})

describe('block devices', { skip: noLoop }, () => {
  it('have their real size, sector size and kind, and the identity of their number', async () => {
    const device = loop(5 * MIB, 4096)
    const alias = fresh()
    fs.symlinkSync(device.path, alias)
    assert.equal(await provider.exists(alias), 'block-device')
    const disk = await provider.open(alias)
    assert.equal(disk.sizeBytes, 5 * MIB)
    assert.equal(disk.sectorBytes, 4096)
    assert.match(disk.identity, /^block:7:\d+$/)
    assert.equal(await provider.identify(device.path), disk.identity)
    await disk.close()
  })

  it('that are write-protected open read-only alone', async () => {
    const backing = fresh()
    fs.writeFileSync(backing, Buffer.alloc(MIB, 3))
    const path = execFileSync('losetup', ['--find', '--show', '--read-only', backing], { encoding: 'utf8' }).trim()
    loops.push({ path, backingFile: backing, detach: () => void execFileSync('losetup', ['--detach', path]) })
    await assert.rejects(
      provider.open(path),
      (error: DiskError) => error.code === 'DISK_READ_ONLY' || error.code === 'DISK_NOT_PERMITTED',
    )
    const disk = await provider.open(path, { readOnly: true })
    const byte = Buffer.alloc(1)
    await disk.read(byte, 0)
    assert.equal(byte[0], 3)
    await disk.close()
  })

  it('give space back by discard, with zeros promised', { skip: noFfi }, async () => {
    const device = loop(8 * MIB)
    const disk = await provider.open(device.path, { exclusive: true })
    await disk.write([Buffer.alloc(8 * MIB, 1)], 0)
    await disk.sync()
    const before = fs.statSync(device.backingFile).blocks
    await disk.discard(MIB, 4 * MIB)
    assert.equal(disk.canDiscard, true)
    assert.ok(fs.statSync(device.backingFile).blocks <= before - ((4 * MIB) / 512) * 0.9)
    const seen = Buffer.alloc(4 * MIB, 9)
    await disk.read(seen, MIB)
    assert.ok(seen.equals(Buffer.alloc(4 * MIB)))
    await disk.close()
  })

  it('that have grown take over their new size by resize, and cannot be made larger', async () => {
    const device = loop(2 * MIB)
    const disk = await provider.open(device.path)
    await assert.rejects(disk.resize(4 * MIB), fails('DISK_NOT_SUPPORTED'))
    fs.truncateSync(device.backingFile, 4 * MIB)
    execFileSync('losetup', ['--set-capacity', device.path])
    assert.equal(disk.sizeBytes, 2 * MIB)
    await disk.resize(4 * MIB)
    await disk.write([Buffer.alloc(512, 1)], 4 * MIB - 512)
    await disk.close()
  })
})
