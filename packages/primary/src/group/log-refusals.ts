/**
 * Why a replog is not used, in words that a start and the verbs that look into a log share.
 *
 * Pure. Owns no I/O and no decision about what lies in the ring; a log that it lets pass is of this group, or of none yet.
 */
import type { SitelinkError } from '@sitelink/daemon'
import type { GroupConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import type { OwnerState } from './owner-state.js'

type Wanted = Pick<GroupConfig, 'uuid' | 'log'>

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
