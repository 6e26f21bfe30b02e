/**
 * The message that resizes the log: what it wishes, and its refusals in dm-replicator's error numbers.
 */
import { SitelinkError } from '@sitelink/daemon/light'
import type { ResizeOutcome } from '@sitelink/storage'
import { primaryErrors } from '../errors.js'
import type { ResizeWish } from '../group/log-resize.js'
import type { Message } from './messages.js'

export type ResizeMessage = Extract<Message, { kind: 'resize' }>

const ERRNO: Readonly<Record<string, string>> = {
  LOG_RESIZE_BUSY: 'EPERM',
  LOG_RESIZE_USED: 'EINVAL',
  LOG_RESIZE_REFUSED: 'EINVAL',
  DISK_FULL: 'ENOSPC',
}

/** Answers once it is begun; what goes wrong later is an event. Rejects with DM_MESSAGE. */
export async function beginResize(
  message: ResizeMessage,
  begin: (wish: ResizeWish) => Promise<{ readonly ended: Promise<ResizeOutcome> }>,
): Promise<void> {
  const { sizeBytes, word } = message
  try {
    const { ended } = await begin({ sizeBytes, sparse: false, overwrite: false })
    ended.catch(() => {})
  } catch (error) {
    throw inErrno(error, word)
  }
}

/** A refusal with its error number; anything else as it is. */
export function inErrno(error: unknown, word: string): unknown {
  const errno = SitelinkError.is(error) ? ERRNO[error.code] : undefined
  if (errno === undefined) return error
  const why = (error as Error).message
  return primaryErrors.create('DM_MESSAGE', { why, errno, word }, { cause: error })
}
