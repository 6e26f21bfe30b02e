/**
 * The clients that people use, against the memory export. A client that is not installed is skipped with a reason, unless
 * SITELINK_REQUIRE_CLIENTS=1, which makes the skip a failure.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { type NbdEvent, NbdServer, MemoryExport, type MemoryExportOptions } from '../src/index.js'
import { directoryOf, Prng } from './support.js'

const run = promisify(execFile)
const MIB = 1 << 20
const required = process.env['SITELINK_REQUIRE_CLIENTS'] === '1'
const scratch = mkdtempSync(join(tmpdir(), 'nbd-interop-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

function missing(...programs: readonly string[]): string | null {
  for (const program of programs) {
    if (program.startsWith('/') && !existsSync(program)) return `there is no ${program}`
    try {
      if (!program.startsWith('/')) execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' })
    } catch {
      return `${program} is not installed`
    }
  }
  return null
}

/** A test that needs programs; `body` runs with a server, its export and its URI. */
function interop(
  claim: string,
  programs: readonly string[],
  options: Partial<MemoryExportOptions>,
  body: (place: {
    uri: string
    target: MemoryExport
    events: NbdEvent[]
    file: (name: string) => string
  }) => Promise<void>,
): void {
  test(claim, { timeout: 120_000 }, async (context: TestContext) => {
    const reason = missing(...programs)
    if (reason !== null) {
      assert.ok(!required, `${reason}, and SITELINK_REQUIRE_CLIENTS is set`)
      return context.skip(reason)
    }
    const folder = mkdtempSync(join(scratch, 'x'))
    const target = new MemoryExport({ sizeBytes: 64 * MIB, ...options })
    const events: NbdEvent[] = []
    const server = new NbdServer(directoryOf(target), {
      after: (ms, action) => {
        const timer = setTimeout(action, ms)
        return { cancel: () => clearTimeout(timer) }
      },
      log: (event) => void events.push(event),
    })
    const path = join(folder, 'nbd.sock')
    await server.listen({ path })
    const uri = `nbd+unix:///${target.name}?socket=${path}`
    try {
      await body({ uri, target, events, file: (name) => join(folder, name) })
    } finally {
      await server.close()
    }
    const refused = events.filter((event) => event.kind === 'refused')
    assert.deepEqual(refused, [])
  })
}

/** Data in the first half and at the end, holes between. */
function sample(bytes: number): Buffer {
  const prng = new Prng('sample')
  const content = Buffer.alloc(bytes)
  const block = prng.bytes(64 * 1024)
  for (let at = 0; at < bytes / 2; at += block.length) block.copy(content, at)
  prng.bytes(4096).copy(content, bytes - 4096)
  return content
}

const named: Partial<MemoryExportOptions> = { name: 'disk', description: 'a disk of memory', minimumBlockBytes: 512 }

interop('nbdinfo lists the export with all that it can do', ['nbdinfo'], named, async ({ uri }) => {
  const { stdout } = await run('nbdinfo', ['--list', '--json', uri])
  const listed = JSON.parse(stdout) as { exports: Record<string, unknown>[]; structured: boolean }
  assert.equal(listed.structured, true)
  const [found] = listed.exports
  assert.ok(found)
  const expected = {
    'export-name': 'disk',
    description: 'a disk of memory',
    contexts: ['base:allocation'],
    is_read_only: false,
    can_cache: true,
    can_df: true,
    can_fast_zero: true,
    can_flush: true,
    can_fua: true,
    can_multi_conn: true,
    can_trim: true,
    can_zero: true,
    block_size_minimum: 512,
    block_size_preferred: 4096,
    block_size_maximum: 32 * MIB,
    'export-size': 64 * MIB,
  }
  for (const [key, value] of Object.entries(expected)) assert.deepEqual(found[key], value, key)
})

interop('nbdinfo sees a read-only export as such', ['nbdinfo'], { readOnly: true }, async ({ uri }) => {
  await run('nbdinfo', ['--is', 'read-only', uri])
  for (const can of ['trim', 'zero', 'fast-zero']) await assert.rejects(run('nbdinfo', ['--can', can, uri]))
})

interop('nbdinfo maps data and holes', ['nbdinfo'], {}, async ({ uri, target }) => {
  target.submit(writeRequest(MIB, Buffer.alloc(2 * MIB, 1)))
  const { stdout } = await run('nbdinfo', ['--map', '--json', uri])
  const map = (JSON.parse(stdout) as { offset: number; length: number; type: number }[]).map((extent) => [
    extent.offset,
    extent.length,
    extent.type,
  ])
  assert.deepEqual(map, [
    [0, MIB, 3],
    [MIB, 2 * MIB, 0],
    [3 * MIB, 61 * MIB, 3],
  ])
})

interop(
  'nbdcopy copies in and out over several connections',
  ['nbdcopy'],
  {},
  async ({ uri, target, events, file }) => {
    const content = sample(target.sizeBytes)
    writeFileSync(file('in'), content)
    await run('nbdcopy', ['--connections=4', '--requests=32', '--request-size=65536', file('in'), uri])
    assert.ok(target.bytes.equals(content))
    await run('nbdcopy', ['--connections=4', '--threads=2', '--requests=64', uri, file('out')])
    assert.ok(readFileSync(file('out')).equals(content))
    assert.ok(events.filter((event) => event.kind === 'connected').length > 2)
  },
)

interop('nbdcopy copies one request at a time', ['nbdcopy'], { name: 'disk' }, async ({ uri, target, file }) => {
  const content = sample(target.sizeBytes)
  target.submit(writeRequest(0, content))
  await run('nbdcopy', ['--synchronous', uri, file('out')])
  assert.ok(readFileSync(file('out')).equals(content))
})

interop('qemu-img converts in and out, and compares', ['qemu-img'], {}, async ({ uri, target, file }) => {
  const content = sample(target.sizeBytes)
  writeFileSync(file('in'), content)
  await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', '-W', '-m', '8', file('in'), uri])
  assert.ok(target.bytes.equals(content))
  const compared = await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', file('in'), uri])
  assert.match(compared.stdout, /Images are identical/)
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', uri, file('out.qcow2')])
  await run('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', file('out.qcow2'), uri])
  target.bytes[5] = (target.bytes[5] ?? 0) ^ 1
  const different = run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', file('in'), uri])
  await assert.rejects(different, { code: 1, stdout: /Content mismatch at offset 0/ })
})

interop('qemu-img copies into a qcow2 that lies on the export', ['qemu-img'], {}, async ({ uri, file }) => {
  writeFileSync(file('in'), sample(16 * MIB))
  await run('qemu-img', ['create', '-f', 'qcow2', uri, '32M'])
  await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'qcow2', file('in'), uri])
  const { stdout } = await run('qemu-img', ['check', '-f', 'qcow2', uri])
  assert.match(stdout, /No errors were found/)
})

interop('qemu-io writes patterns, zeroes and discards', ['qemu-io'], {}, async ({ uri, target }) => {
  const io = (...commands: readonly string[]): Promise<{ stdout: string }> =>
    run('qemu-io', ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri])
  await io('write -P 0xa1 0 1M', 'write -f -P 0xb2 1M 64k', 'flush')
  await io('read -P 0xa1 0 1M', 'read -P 0xb2 1M 64k', 'read -P 0 1114112 1M')
  await io('write -z 512k 256k', 'write -z -u 0 64k', 'discard 1M 64k')
  await io('read -P 0 512k 256k', 'read -P 0 0 64k', 'read -P 0xa1 64k 448k', 'read -P 0 1M 64k')
  await io('aio_write -P 1 0 4k', 'aio_write -P 2 4k 4k', 'aio_write -P 3 8k 4k', 'aio_flush', 'read -P 2 4k 4k')
  const { stdout } = await io('map')
  assert.match(stdout, /allocated/)
  assert.equal(target.bytes[8192], 3)
  assert.equal(target.bytes.readUInt8(MIB + 5), 0)
})

interop('qemu-io cannot write to a read-only export', ['qemu-io'], { readOnly: true }, async ({ uri }) => {
  await run('qemu-io', ['-r', '-f', 'raw', '-c', 'read -P 0 0 4k', uri])
  await assert.rejects(run('qemu-io', ['-f', 'raw', '-c', 'write 0 4k', uri]))
})

interop('fio verifies what it wrote at random', ['fio'], { sizeBytes: 16 * MIB }, async ({ uri, file }) => {
  const common = ['--ioengine=nbd', `--uri=${uri}`, '--size=16m', '--randseed=7', `--aux-path=${file('.')}`]
  const verify = ['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--verify_state_save=0']
  await run('fio', ['--name=small', '--rw=randwrite', '--bs=4k', '--iodepth=64', ...verify, ...common])
  const mixed = ['--name=mixed', '--rw=randwrite', '--bsrange=512-256k', '--blockalign=512', '--iodepth=32']
  await run('fio', [...mixed, '--fsync=32', ...verify, ...common])
})

interop(
  'nbdfuse shows the export as a file',
  ['nbdfuse', 'fusermount3', '/dev/fuse'],
  {},
  async ({ uri, target, file }) => {
    const mount = file('mount')
    mkdirSync(mount)
    const pid = file('pid')
    const fuse = spawn('nbdfuse', ['-P', pid, mount, uri], { stdio: 'ignore' })
    const ended = new Promise((resolve) => fuse.once('exit', resolve))
    try {
      const end = process.hrtime.bigint() + 20_000_000_000n
      while (!existsSync(pid)) {
        assert.ok(process.hrtime.bigint() < end && fuse.exitCode === null, 'nbdfuse did not mount')
        await new Promise((resolve) => setImmediate(resolve))
      }
      await run('dd', [`if=/dev/zero`, `of=${join(mount, 'nbd')}`, 'bs=64k', 'count=4', 'conv=notrunc,fsync'])
      await run('sh', [
        '-c',
        'printf sitelink | dd of="$1" bs=1 seek=4096 conv=notrunc,fsync',
        'sh',
        join(mount, 'nbd'),
      ])
      assert.equal(target.bytes.toString('latin1', 4096, 4104), 'sitelink')
    } finally {
      await run('fusermount3', ['-u', mount]).catch(() => fuse.kill())
      await ended
    }
  },
)

/** A write that the export is given without a client. */
function writeRequest(offset: number, payload: Buffer): Parameters<MemoryExport['submit']>[0] {
  return {
    operation: 'write',
    offset,
    length: payload.length,
    fua: false,
    noHole: false,
    fastZero: false,
    payload,
    complete: () => {},
    completeRead: () => {},
    fillRead: () => false,
    completeStatus: () => {},
  }
}
