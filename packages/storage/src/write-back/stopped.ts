/** What a drain or a detach ends with when the write-back stops, or may not go on, before it is done. */

/** Rejection of a wait that a stop cut short. What was not applied is in the log and is applied after the next start. */
export class WriteBackStopped extends Error {
  override readonly name = 'WriteBackStopped'

  constructor() {
    super('write-back was stopped before everything was applied')
  }
}

/** Rejection of a wait for entries above a limit that never rises again: the log failed before they were durable. */
export class WriteBackLimitEnded extends Error {
  override readonly name = 'WriteBackLimitEnded'

  constructor() {
    super('the log failed before everything could be applied')
  }
}
