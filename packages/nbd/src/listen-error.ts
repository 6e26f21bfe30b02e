/** The error of a server that cannot listen, and the light door of this package: what a verb needs that serves nothing. */

/** Why a server could not begin to listen. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly reason: 'path-too-long' | 'in-use' | 'not-a-socket' | 'system'

  constructor(reason: ListenError['reason'], sentence: string, options?: ErrorOptions) {
    super(sentence, options)
    this.reason = reason
  }
}
