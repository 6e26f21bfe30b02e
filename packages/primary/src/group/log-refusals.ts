/**
 * Why a replog is not used, in words that a start and the verbs that look into a log share.
 *
 * Pure. Owns no I/O and no decision about what lies in the ring; a log that it lets pass is of this group, or of none yet.
 */
import type { SitelinkError } from '@sitelink/daemon'
import type { LogErrorCode } from '@sitelink/storage'
import type { GroupConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import type { OwnerState } from './owner-state.js'

type Wanted = Pick<GroupConfig, 'uuid' | 'log'>

/** What can be done where the log itself is readable; anything else is a matter of looking closer. */
const NEXT: Readonly<Partial<Record<LogErrorCode, string>>> = {
  LOG_NEWER: 'use the newer release of Sitelink that wrote it',
  LOG_BEYOND_DISK: 'bring the file or block device back to the size that it had',
  LOG_READ_FAILED: 'see the kernel log for the health of the disk',
  LOG_WRITE_FAILED: 'see the kernel log for the health of the disk',
  LOG_IN_USE: 'stop the process that uses it',
}

/** Where nothing that lies there says what the log is: neither a start nor a check can do more. */
const LOST: readonly LogErrorCode[] = ['LOG_MISSING', 'LOG_DAMAGED', 'LOG_FOREIGN']

/** The error for a log that does not open, from the code that the storage gives it. */
export function cannotOpen(path: string, code: LogErrorCode, why: string, options?: ErrorOptions): SitelinkError {
  if (LOST.includes(code)) return primaryErrors.create('LOG_UNREADABLE', { path, why, reason: code }, options)
  const next = NEXT[code] ?? '<prog> log check'
  return primaryErrors.create('LOG_CANNOT_OPEN', { path, why, next, reason: code }, options)
}

/** Throws `LOG_FOREIGN` for the log of another group; `state` is null where none is stored. */
export function refuseForeignLog({ uuid, log }: Wanted, state: OwnerState | null): void {
  if (state === null || state.groupUuid === uuid) return
  throw primaryErrors.create('LOG_FOREIGN', {
    path: log.path,
    owner: `group ${state.groupUuid}`,
    found: state.groupUuid,
    wanted: uuid,
  })
}

/** `LOG_FOREIGN` for the journal of an agent: the same format, and not a replog. */
export function journalInstead({ uuid, log }: Wanted): SitelinkError {
  const owner = 'an agent, whose journal it is'
  return primaryErrors.create('LOG_FOREIGN', { path: log.path, owner, found: null, wanted: uuid })
}
