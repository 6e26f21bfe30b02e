/**
 * What can go wrong with a log, as one coded error.
 *
 * Owns the codes and their meaning. A code is stable; the programs map it to their registry. The text of an error says
 * what was found and where; the meaning says what to do about it in general.
 */

/** Every code of {@link LogError}, with what it means. */
export const LOG_CODES = {
  LOG_MISSING: 'There is no log here: neither a superblock nor anything that looks like a part of a log.',
  LOG_DAMAGED:
    'A log was here, and what says where it begins and ends cannot be read or contradicts the ring. Nothing was changed.',
  LOG_FOREIGN: 'Something else lies here. Nothing was changed.',
  LOG_NEWER: 'The log was written by a newer version of Sitelink. Nothing was changed.',
  LOG_OTHER_KIND: 'This is a log of the other kind: a replog is not a journal.',
  LOG_HOLDS_ENTRIES: 'The log still holds entries that somebody needs. They would be lost.',
  LOG_TOO_SMALL: 'The size is below the smallest log, or its start is not on a block of 4 KiB.',
  LOG_BEYOND_DISK: 'The log would reach, or reaches, beyond the end of its disk.',
  LOG_READ_FAILED: 'The disk refused to be read. Nothing was changed.',
  LOG_WRITE_FAILED: 'The disk refused to be written or synced. The log must be opened anew.',
  LOG_IN_USE: 'Another process holds the log.',
  LOG_TOO_MANY_LIVES:
    'The log was opened more often than its superblock can hold, with entries of each life still needed.',
  LOG_ENTRY_UNREADABLE: 'An entry that was durable cannot be read any more.',
  LOG_GONE: 'The place in the log was freed; what was there may be overwritten.',
  LOG_RESIZE_BUSY: 'Another resize of the log is under way. Nothing was changed.',
  LOG_RESIZE_USED:
    'What is still needed of the log does not fit into the size that was asked for. Nothing was changed.',
  LOG_RESIZE_SPACE:
    'The disk has no room for the size that was asked for, or refused it. The log has the size that it had.',
  LOG_RESIZE_BEHIND: 'Something lies behind the end of the log, which would be overwritten. Nothing was changed.',
  LOG_RESIZE_PIECES:
    'The log was resized so often while it was full that it lies in too many pieces. Nothing was changed.',
  LOG_CLOSED: 'The log was closed.',
} as const

export type LogErrorCode = keyof typeof LOG_CODES

/** Facts of a {@link LogError}, by name, for reports: positions and sizes in bytes, versions, identities. */
export type LogFacts = Readonly<Record<string, string | number | boolean | null>>

export class LogError extends Error {
  override readonly name = 'LogError'

  /** `message` is one line: what was found, where. */
  constructor(
    readonly code: LogErrorCode,
    message: string,
    readonly facts: LogFacts = {},
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}
