/**
 * What the kernel knows of a file or block device: its kind, identity, size and sector size.
 *
 * Reads sysfs, because the size that `stat` gives for a block device is 0. Changes nothing.
 */
import { constants, type BigIntStats } from 'node:fs'
import { readFile, realpath, stat } from 'node:fs/promises'
import { DiskError, toDiskError } from './disk-error.js'
import type { Ffi } from './ffi.js'

export type DiskKind = 'file' | 'block-device'

/** Sectors of sysfs are 512 bytes, whatever the device's own are. */
const SYSFS_SECTOR_BYTES = 512

/** What is at a path, following symlinks. Rejects with DISK_MISSING and the like. */
export async function statPath(path: string, what: string): Promise<BigIntStats> {
  try {
    return await stat(path, { bigint: true })
  } catch (error) {
    throw toDiskError(error, path, what)
  }
}

/** File or block device; anything else is refused. */
export function kindOf(stats: BigIntStats, path: string, what: string): DiskKind {
  if (stats.isFile()) return 'file'
  if (stats.isBlockDevice()) return 'block-device'
  throw new DiskError('DISK_NOT_A_DEVICE', path, what)
}

/** The same for every path that reaches the same file (device and inode) or block device (major:minor). */
export function identityOf(stats: BigIntStats): string {
  return stats.isBlockDevice() ? `block:${deviceNumber(stats.rdev)}` : `file:${deviceNumber(stats.dev)}:${stats.ino}`
}

/** `major:minor`, as the kernel's `dev_t` packs them for user space. */
function deviceNumber(packed: bigint): string {
  const major = ((packed >> 8n) & 0xfffn) | ((packed >> 32n) & ~0xfffn)
  const minor = (packed & 0xffn) | ((packed >> 12n) & ~0xffn)
  return `${major}:${minor}`
}

/** Size, sector size and write protection of an open block device. */
export interface BlockDeviceFacts {
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly readOnly: boolean
}

/** The facts of the block device with this `rdev`, open as `fd`. */
export async function blockDeviceFacts(
  stats: BigIntStats,
  fd: number,
  path: string,
  ffi: Ffi | null,
): Promise<BlockDeviceFacts> {
  const folder = `/sys/dev/block/${deviceNumber(stats.rdev)}`
  const sectors = await sysfsNumber(`${folder}/size`)
  const sizeBytes = sectors === null ? ((await ffi?.blockDeviceBytes(fd)) ?? null) : sectors * SYSFS_SECTOR_BYTES
  if (sizeBytes === null)
    throw new DiskError('DISK_NOT_SUPPORTED', path, 'cannot find the size (no sysfs, no koffi) of')
  return {
    sizeBytes,
    sectorBytes: (await sysfsNumber(`${await queueFolder(folder)}/logical_block_size`)) ?? SYSFS_SECTOR_BYTES,
    readOnly: (await sysfsNumber(`${folder}/ro`)) === 1,
  }
}

/** A partition has no queue of its own: its disk's, one level up, counts. */
async function queueFolder(folder: string): Promise<string> {
  if ((await sysfsNumber(`${folder}/partition`)) === null) return `${folder}/queue`
  try {
    return `${await realpath(folder)}/../queue`
  } catch {
    return `${folder}/queue`
  }
}

async function sysfsNumber(path: string): Promise<number | null> {
  try {
    const value = Number((await readFile(path, 'latin1')).trim())
    return Number.isSafeInteger(value) ? value : null
  } catch {
    return null
  }
}

/** Flags to open a disk with; O_EXCL without O_CREAT claims a block device. */
export function openFlags(kind: DiskKind, readOnly: boolean, exclusive: boolean): number {
  const access = readOnly ? constants.O_RDONLY : constants.O_RDWR
  return access | (kind === 'block-device' && exclusive ? constants.O_EXCL : 0)
}

/** Flags to create a file with: it must not exist, and a symlink in its place is not followed. */
export const CREATE_FLAGS = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW
