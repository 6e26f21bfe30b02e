/**
 * What a dirty log refuses, beyond the failures of its disk (which are {@link DiskError}s).
 */

/**
 * `DIRTY_LOG_FOREIGN`: the store holds the dirty log of another mapping and is not overwritten.
 * `DIRTY_LOG_STORE_USED`: a new dirty log was to be made over something that is not one.
 * `DIRTY_LOG_CLOSED`: it was used after it was closed.
 */
export type DirtyLogCode = 'DIRTY_LOG_FOREIGN' | 'DIRTY_LOG_STORE_USED' | 'DIRTY_LOG_CLOSED'

const TEXT: Readonly<Record<DirtyLogCode, string>> = {
  DIRTY_LOG_FOREIGN: 'holds the dirty log of another mapping and is not overwritten',
  DIRTY_LOG_STORE_USED: 'holds something that is not a dirty log and is not overwritten',
  DIRTY_LOG_CLOSED: 'is closed',
}

/** A refusal; `message` is one line with the path, `detail` what differs where that helps. */
export class DirtyLogError extends Error {
  override readonly name = 'DirtyLogError'

  constructor(
    readonly code: DirtyLogCode,
    readonly path: string,
    readonly detail: string | null = null,
  ) {
    super(`${path} ${TEXT[code]}${detail === null ? '' : `: ${detail}`}`)
  }
}
