/**
 * Errors of the rooms below, as the operator meets them: disk, log, dirty log and address errors get a code, a hint and an exit
 * status of this program. Everything else passes unchanged.
 */
import { SitelinkError } from '@sitelink/daemon/light'
import { ProtocolError } from '@sitelink/protocol/light'
import { DirtyLogError, DISK_CODES, DiskError, LogError, type DiskCode } from '@sitelink/storage/light'
import { primaryErrors } from './errors.js'

const DISK_ROWS = {
  DISK_MISSING: 'DISK_MISSING',
  DISK_EXISTS: 'DISK_UNFIT',
  DISK_IN_USE: 'DISK_IN_USE',
  DISK_NOT_PERMITTED: 'DISK_REFUSED',
  DISK_READ_ONLY: 'DISK_REFUSED',
  DISK_FULL: 'DISK_FULL',
  DISK_NOT_A_DEVICE: 'DISK_UNFIT',
  DISK_TOO_SMALL: 'DISK_UNFIT',
  DISK_RANGE: 'DISK_RANGE',
  DISK_NOT_SUPPORTED: 'DISK_UNFIT',
  DISK_IO: 'DISK_IO',
  DISK_CLOSED: 'DISK_IO',
} as const satisfies Record<DiskCode, keyof typeof primaryErrors.codes>

/** The error to show for whatever was thrown. */
export function mapError(error: unknown): unknown {
  if (SitelinkError.is(error)) return error
  if (error instanceof DiskError) {
    return primaryErrors.create(
      DISK_ROWS[error.code],
      { why: error.message, next: DISK_CODES[error.code].hint },
      { cause: error },
    )
  }
  // A full or failed disk below a log is what the operator can do something about.
  if (error instanceof LogError && error.cause instanceof DiskError) return mapError(error.cause)
  if (error instanceof LogError && (error.code === 'LOG_TOO_SMALL' || error.code === 'LOG_BEYOND_DISK'))
    return primaryErrors.create('LOG_SIZE', { why: error.message, reason: error.code }, { cause: error })
  if (error instanceof LogError)
    return primaryErrors.create('LOG_REFUSED', { why: error.message, reason: error.code }, { cause: error })
  if (error instanceof DirtyLogError)
    return primaryErrors.create('DIRTY_LOG_REFUSED', { why: error.message, reason: error.code }, { cause: error })
  if (error instanceof ProtocolError)
    return primaryErrors.create('ADDRESS', { why: error.message, reason: error.code }, { cause: error })
  return error
}

/** Runs `work`; what it throws is mapped. */
export async function mapped<T>(work: () => Promise<T> | T): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw mapError(error)
  }
}
