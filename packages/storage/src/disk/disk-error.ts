/**
 * What can go wrong with a disk, as one coded error, whoever implements the disk.
 *
 * Owns the list of codes and what each one means to an operator. A code is stable: programs, tests and documents
 * refer to it. The error's text says what failed and why; the registry's text says what it means and what to do.
 */

interface DiskCodeInfo {
  /** True if the same call may work later without anybody changing anything. */
  readonly retry: boolean
  /** What it means, as a sentence without the path. */
  readonly text: string
  /** What to do next. */
  readonly hint: string
}

/** Every code of {@link DiskError}. */
export const DISK_CODES = {
  DISK_MISSING: { retry: false, text: 'there is nothing at this path', hint: 'check the path, or create it first' },
  DISK_EXISTS: {
    retry: false,
    text: 'there is something at this path already',
    hint: 'choose another path; nothing is ever overwritten by a create',
  },
  DISK_IN_USE: { retry: true, text: 'another process holds it', hint: 'stop the process that uses it, or unmount it' },
  DISK_NOT_PERMITTED: {
    retry: false,
    text: 'access is not permitted',
    hint: 'check owner and mode of the path, and of the user that runs this',
  },
  DISK_READ_ONLY: {
    retry: false,
    text: 'it can be read but not written',
    hint: 'open it read-only, or make the device or file system writable',
  },
  DISK_FULL: { retry: true, text: 'no space is left', hint: 'free space on the file system, or choose a smaller size' },
  DISK_NOT_A_DEVICE: {
    retry: false,
    text: 'it is neither a regular file nor a block device',
    hint: 'give a regular file or a block device',
  },
  DISK_TOO_SMALL: { retry: false, text: 'it is too small', hint: 'give a larger file or device' },
  DISK_RANGE: {
    retry: false,
    text: 'the range lies beyond the end',
    hint: 'the device may have shrunk; compare its size with the one configured',
  },
  DISK_NOT_SUPPORTED: {
    retry: false,
    text: 'this kind of disk cannot do that',
    hint: 'use a regular file, or leave the operation out',
  },
  DISK_IO: { retry: false, text: 'the medium failed', hint: 'check the kernel log and the health of the medium' },
  DISK_CLOSED: { retry: false, text: 'it was closed', hint: 'open it again' },
} as const satisfies Record<string, DiskCodeInfo>

export type DiskCode = keyof typeof DISK_CODES

/** Facts of a {@link DiskError} beyond its code; all optional. */
export interface DiskErrorFacts {
  /** The operating system's name of the error, such as `EIO`. */
  readonly errno?: string | undefined
  /** Byte offset of the operation. */
  readonly offset?: number | undefined
  /** Length of the operation in bytes. */
  readonly length?: number | undefined
  readonly cause?: unknown
}

/** A disk operation that failed. `message` is one line: what, which path, why. */
export class DiskError extends Error {
  override readonly name = 'DiskError'
  readonly errno: string | undefined
  readonly offset: number | undefined
  readonly length: number | undefined

  /** `what` says what was tried, as in `cannot read`. */
  constructor(
    readonly code: DiskCode,
    readonly path: string,
    what: string,
    facts: DiskErrorFacts = {},
  ) {
    const errno = facts.errno === undefined ? '' : ` (${facts.errno})`
    super(
      `${what} ${path}: ${DISK_CODES[code].text}${errno}`,
      facts.cause === undefined ? undefined : { cause: facts.cause },
    )
    this.errno = facts.errno
    this.offset = facts.offset
    this.length = facts.length
  }

  /** True if the same call may work later without anybody changing anything. */
  get retry(): boolean {
    return DISK_CODES[this.code].retry
  }

  /** What to do next. */
  get hint(): string {
    return DISK_CODES[this.code].hint
  }
}

const BY_ERRNO: Readonly<Record<string, DiskCode>> = {
  ENOENT: 'DISK_MISSING',
  ENOTDIR: 'DISK_MISSING',
  ENXIO: 'DISK_MISSING',
  ENODEV: 'DISK_MISSING',
  ENOMEDIUM: 'DISK_MISSING',
  EEXIST: 'DISK_EXISTS',
  EBUSY: 'DISK_IN_USE',
  EAGAIN: 'DISK_IN_USE',
  ETXTBSY: 'DISK_IN_USE',
  EACCES: 'DISK_NOT_PERMITTED',
  EPERM: 'DISK_NOT_PERMITTED',
  EROFS: 'DISK_READ_ONLY',
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
  EFBIG: 'DISK_FULL',
  EISDIR: 'DISK_NOT_A_DEVICE',
  EBADF: 'DISK_CLOSED',
  EOPNOTSUPP: 'DISK_NOT_SUPPORTED',
  ENOTSUP: 'DISK_NOT_SUPPORTED',
  ENOTTY: 'DISK_NOT_SUPPORTED',
}

/** The code for an operating system error name; whatever is not listed is a failure of the medium. */
export function diskCodeOf(errno: string | undefined): DiskCode {
  return (errno === undefined ? undefined : BY_ERRNO[errno]) ?? 'DISK_IO'
}

/** Wraps whatever was thrown as a {@link DiskError}; one that is a DiskError already is returned as it is. */
export function toDiskError(error: unknown, path: string, what: string, facts: DiskErrorFacts = {}): DiskError {
  if (error instanceof DiskError) return error
  const errno = (error as NodeJS.ErrnoException | null)?.code
  return new DiskError(diskCodeOf(errno), path, what, { ...facts, errno, cause: error })
}
