/**
 * Real filesystems: made and mounted on live exports, and judged on images of them.
 *
 * A judgement mounts a copy, which lets the kernel replay the filesystem's own journal and nothing else, looks at the
 * known files, unmounts, and asks the filesystem's own checker to find nothing to repair. What a judgement mounts and
 * attaches is taken down by the shell that put it up, whatever happens meanwhile to the test.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { findProgram, requireClients, requireMounts } from '../support/clients.js'
import { fastFolder, removeFolder } from '../support/places.js'
import { mustRun, type RunResult } from '../support/program.js'
import { writeImage, type Images } from './image.js'
import { checkKnownFiles, KNOWN_FILES, type Owed } from './workload.js'

const MIB = 1024 * 1024

export interface FilesystemKind {
  readonly name: string
  /** Devices of the group by number: the filesystem, then, if it is elsewhere, its journal. */
  readonly devices: readonly { readonly name: string; readonly sizeBytes: number }[]
  /** Commands that make it on block devices in the order of `devices`. */
  make(devices: readonly string[]): readonly (readonly [command: string, ...args: string[]])[]
  readonly mountOptions: readonly string[]
  /** More options to mount a copy. */
  readonly copyOptions: readonly string[]
  /** Finds nothing to repair, or ends with another status than 0. */
  check(files: readonly string[]): readonly [command: string, ...args: string[]]
}

/** Where a shell finds the programs of the system's administrator. */
const SEARCH = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`

/** Judgements at once: each waits for programs most of its time. */
export const JUDGES = 3

/** The kernel writes what is old enough after a second, so that much goes on that no fsync asked for. */
const EXT4_OPTIONS = ['commit=1']

export const ext4: FilesystemKind = {
  name: 'ext4',
  devices: [{ name: 'data', sizeBytes: 32 * MIB }],
  make: ([data]) => [['mkfs.ext4', '-q', '-F', '-b', '4096', data as string]],
  mountOptions: EXT4_OPTIONS,
  copyOptions: [],
  check: ([data]) => ['e2fsck', '-fn', data as string],
}

/** All data goes through the journal, which is a device of its own, and from there to the filesystem's device. */
export const ext4OnTwoDevices: FilesystemKind = {
  name: 'ext4 with its journal on another device',
  devices: [
    { name: 'data', sizeBytes: 24 * MIB },
    { name: 'journal', sizeBytes: 5 * MIB },
  ],
  make: ([data, journal]) => [
    ['mkfs.ext4', '-q', '-F', '-b', '4096', '-O', 'journal_dev', journal as string],
    ['mkfs.ext4', '-q', '-F', '-b', '4096', '-J', `device=${journal}`, data as string],
  ],
  mountOptions: [...EXT4_OPTIONS, 'data=journal'],
  copyOptions: [],
  check: ([data, journal]) => ['e2fsck', '-fn', '-j', journal as string, data as string],
}

/** The smallest that mkfs.xfs makes; copies have the identity of the original, which the kernel must not mind. */
export const xfs: FilesystemKind = {
  name: 'xfs',
  devices: [{ name: 'data', sizeBytes: 300 * MIB }],
  make: ([data]) => [['mkfs.xfs', '-q', '-f', data as string]],
  mountOptions: [],
  copyOptions: ['nouuid'],
  check: ([data]) => ['xfs_repair', '-n', '-f', data as string],
}

/** Whether all that this takes is here; else the test is skipped, or fails where clients are required. */
export function requireFilesystem(t: TestContext, kind: FilesystemKind): boolean {
  const programs = [...kind.make(['', '']).map(([command]) => command), kind.check(['', ''])[0]]
  const tools = ['nbdfuse', 'losetup', 'mount', 'fusermount3', ...new Set(programs)]
  return requireClients(t, ...tools) !== null && requireMounts(t)
}

/** Runs one of the programs, wherever it is installed; anything other than status 0 throws. */
export const must = (command: string, ...args: readonly string[]): Promise<RunResult> =>
  mustRun(findProgram(command) ?? command, args)

/**
 * Mounts a copy, copies the known files out of it, unmounts and checks. A shell's work, because each process that a large
 * test process starts costs it much; and the shell takes down what it put up even if the test process is gone by then.
 */
const JUDGE = `
place=$1 shown=$2 options=$3 data=$4 journal=$5; shift 5
loop=
takeDown() { umount "$place" 2>/dev/null; [ -z "$loop" ] || losetup --detach "$loop"; }
trap takeDown EXIT
if [ -n "$journal" ]; then
  loop=$(losetup --find --show "$journal") || exit 99
  options="$options,journal_path=$loop"
fi
if mount -o "$options" "$data" "$place"; then
  for name in ${KNOWN_FILES.join(' ')}; do [ ! -e "$place/$name" ] || cp "$place/$name" "$shown/" || echo "$name cannot be read"; done
  umount "$place" || exit 99
else
  echo 'it cannot be mounted'
fi
[ -z "$loop" ] || losetup --detach "$loop"
loop=
"$@" >"$shown/check" 2>&1 || { echo "$1 ended with status $?"; tail -n 20 "$shown/check"; }
`

/**
 * What is wrong with a filesystem whose devices hold these images, as sentences; none is wrong with a good one. The images
 * are in the order of their device ids, which is that of `kind.devices`.
 */
export async function judge(kind: FilesystemKind, images: Images, owed: Owed): Promise<string[]> {
  const folder = fastFolder('judge')
  try {
    const [place, shown] = [join(folder, 'mounted'), join(folder, 'shown')]
    for (const each of [place, shown]) mkdirSync(each)
    const files: string[] = []
    for (const [id, image] of [...images].sort(([a], [b]) => a - b)) {
      files.push(join(folder, `device-${id}`))
      writeImage(image, files.at(-1) as string)
    }
    const [data = '', journal = ''] = files
    const options = ['loop', ...kind.copyOptions].join(',')
    const [command, ...args] = kind.check(files)
    const words = [place, shown, options, data, journal, findProgram(command) ?? command, ...args]
    const said = await mustRun('sh', ['-c', JUDGE, 'judge', ...words], { env: { PATH: SEARCH } })
    const wrong = said.stdout === '' ? [] : [`${said.stdout}${said.stderr}`]
    return [...wrong, ...(await checkKnownFiles(shown, owed))]
  } finally {
    removeFolder(folder)
  }
}
