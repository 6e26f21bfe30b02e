/**
 * Real filesystems on a replicated device: made, mounted, written, unmounted; the copy at the agent then passes the
 * filesystem's own check, and holds the same files.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { test, type TestContext } from 'node:test'
import { requireClients, requireMounts } from '../support/clients.js'
import { Cluster } from '../support/cluster.js'
import { assertSidesEqual } from '../support/equality.js'
import { LoopedExport } from '../support/mounted.js'
import { repositoryRoot } from '../support/places.js'
import { mustRun } from '../support/program.js'
import { seededPrng } from '../support/seed.js'

const MIB = 1024 * 1024

/** Every file below a folder with the hash of its content. */
function fileHashes(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return Object.fromEntries(
    files
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [relative(folder, path), createHash('sha256').update(readFileSync(path)).digest('hex')]),
  )
}

/** What a person might do to a filesystem: copy a tree, write, append, truncate, rename, delete. */
function useFilesystem(t: TestContext, folder: string, label: string): void {
  const prng = seededPrng(t, label)
  cpSync(join(repositoryRoot, 'packages', 'protocol', 'src'), join(folder, 'tree'), { recursive: true })
  mkdirSync(join(folder, 'random'))
  for (let i = 0; i < 200; i++) {
    writeFileSync(join(folder, 'random', `file-${i}`), prng.bytes(prng.between(0, 64 * 1024)))
    if (prng.chance(0.2)) rmSync(join(folder, 'random', `file-${prng.below(i + 1)}`), { force: true })
    const victim = join(folder, 'random', `file-${prng.below(i + 1)}`)
    if (prng.chance(0.3) && statSync(victim, { throwIfNoEntry: false })) writeFileSync(victim, 'again', { flag: 'a' })
  }
  writeFileSync(join(folder, 'large'), prng.bytes(8 * MIB))
}

interface Kind {
  readonly name: 'ext4' | 'xfs'
  readonly sizeBytes: number
  readonly make: readonly string[]
  readonly check: (path: string) => readonly [command: 'e2fsck' | 'xfs_repair', ...args: string[]]
}

const kinds: readonly Kind[] = [
  { name: 'ext4', sizeBytes: 96 * MIB, make: ['mkfs.ext4', '-q', '-F'], check: (path) => ['e2fsck', '-fn', path] },
  {
    name: 'xfs',
    sizeBytes: 320 * MIB,
    make: ['mkfs.xfs', '-q', '-f'],
    check: (path) => ['xfs_repair', '-n', '-f', path],
  },
]

for (const kind of kinds) {
  test(`an ${kind.name} that was used and unmounted is whole and the same at the agent`, async (t) => {
    const maker = kind.make[0] as 'mkfs.ext4' | 'mkfs.xfs'
    const checker = kind.check('')[0]
    const tools = requireClients(t, 'nbdfuse', 'losetup', 'mount', 'fusermount3', maker, checker)
    if (tools === null || !requireMounts(t)) return
    const cluster = await Cluster.start({
      label: kind.name,
      logSize: '128m',
      devices: [{ name: 'data', sizeBytes: kind.sizeBytes }],
      slinks: [{ words: ['--policy', 'async'] }],
    })
    t.after(() => cluster.close())
    const looped = await LoopedExport.attach(tools, cluster.folder, cluster.nbdUri('data'))
    t.after(() => looped.abandon())
    await mustRun(tools[maker], [...kind.make.slice(1), looped.device])
    const place = await looped.mount()
    useFilesystem(t, place, kind.name)
    const written = fileHashes(place)
    await looped.unmount()
    await looped.detach()

    await assertSidesEqual(cluster)
    await cluster.agent().stop()
    const replica = cluster.agent().devices[0]?.path ?? ''
    const [command, ...args] = kind.check(replica)
    await mustRun(tools[command as typeof checker], args)

    const copy = join(cluster.folder, 'copy')
    mkdirSync(copy)
    await mustRun(tools.mount, ['-o', `loop,ro${kind.name === 'xfs' ? ',norecovery' : ',noload'}`, replica, copy])
    try {
      assert.deepEqual(fileHashes(copy), written, 'the same files with the same content')
      assert.ok(Object.keys(written).length > 50, 'there are files to compare')
    } finally {
      await mustRun('umount', [copy])
    }
  })
}
