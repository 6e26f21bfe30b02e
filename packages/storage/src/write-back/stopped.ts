/** What a drain or a detach ends with when the write-back stops before it is done. */

/** Rejection of a wait that a stop cut short. What was not applied is in the log and is applied after the next start. */
export class WriteBackStopped extends Error {
  override readonly name = 'WriteBackStopped'

  constructor() {
    super('write-back was stopped before everything was applied')
  }
}
