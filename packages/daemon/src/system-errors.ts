/**
 * Errors of the operating system as coded errors.
 *
 * Pure. Knows which errno means which exit status; the words are those of strerror, without Node's call syntax.
 */
import { getSystemErrorMap } from 'node:util'
import { daemonErrors } from './daemon-errors.js'
import type { SitelinkError } from './errors.js'

/** True for an error that Node made of an errno; with `code`, only for that one (`'ENOENT'`). */
export function isErrno(error: unknown, ...codes: readonly string[]): error is NodeJS.ErrnoException {
  if (!(error instanceof Error) || typeof (error as NodeJS.ErrnoException).errno !== 'number') return false
  return codes.length === 0 || codes.includes((error as NodeJS.ErrnoException).code ?? '')
}

/** `permission denied`, `no space left on device` ...: what went wrong, without where. */
export function whyOf(error: unknown): string {
  if (isErrno(error)) return getSystemErrorMap().get(error.errno ?? 0)?.[1] ?? error.message
  return error instanceof Error ? error.message : String(error)
}

/** The coded error for an errno error, `cause` kept; null for anything else. */
export function systemError(error: unknown): SitelinkError | null {
  if (!isErrno(error)) return null
  const what = error.path ?? error.syscall ?? 'system call'
  const facts = { what, why: whyOf(error), errno: error.code ?? null, syscall: error.syscall ?? null }
  switch (error.code) {
    case 'EACCES':
    case 'EPERM':
      return daemonErrors.create('SYSTEM_REFUSED', facts, { cause: error })
    case 'ENOENT':
    case 'ENOTDIR':
      return daemonErrors.create('SYSTEM_MISSING', facts, { cause: error })
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EIO':
    case 'EROFS':
      return daemonErrors.create('SYSTEM_IO', facts, { cause: error })
    default:
      return daemonErrors.create('SYSTEM_FAILED', facts, { cause: error })
  }
}
