/**
 * Real programs that tests run against Sitelink: found, or the test is skipped with a reason.
 *
 * Where SITELINK_REQUIRE_CLIENTS=1, as in CI, a missing one is a failure: nothing is skipped there.
 */
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'node:test'

const packages: Readonly<Record<string, string>> = {
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  nbdfuse: 'nbdfuse',
  nbdkit: 'nbdkit',
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-storage-daemon': 'qemu-system-common',
  fio: 'fio',
  'mkfs.ext4': 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  xfs_repair: 'xfsprogs',
  fusermount3: 'fuse3',
  losetup: 'mount',
  mount: 'mount',
}

/** Path of a program, also from the folders of the system's administrator. */
export function findProgram(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin']
  for (const folder of folders) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not here.
    }
  }
  return null
}

/** The paths of all `names`; or null, and the test is skipped, or fails where clients are required. */
export function requireClients<N extends string>(t: TestContext, ...names: N[]): Record<N, string> | null {
  const found = names.map((name) => [name, findProgram(name)] as const)
  const missing = found.filter(([, path]) => path === null).map(([name]) => `${name} (${packages[name] ?? 'unknown'})`)
  if (missing.length > 0) return absent(t, `not installed: ${missing.join(', ')}`)
  return Object.fromEntries(found) as Record<N, string>
}

/** Whether this process may mount: root, with FUSE and loop devices. */
export function requireMounts(t: TestContext): boolean {
  const why =
    process.getuid?.() !== 0
      ? 'mounting needs root'
      : !existsSync('/dev/fuse')
        ? 'there is no /dev/fuse'
        : !existsSync('/dev/loop-control')
          ? 'there are no loop devices'
          : null
  return why === null || absent(t, why) !== null
}

function absent(t: TestContext, why: string): null {
  if (process.env['SITELINK_REQUIRE_CLIENTS'] === '1')
    throw new Error(`${why}, and SITELINK_REQUIRE_CLIENTS asks for it`)
  t.skip(why)
  return null
}
