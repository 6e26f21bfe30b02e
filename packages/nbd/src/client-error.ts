/**
 * What can go wrong for a client, and nothing else.
 */
import { NbdErrno } from './export.js'

/** `refused`: the server answered a request with an error. `negotiation`: it did not let us in. `lost`: the connection. */
export type ClientErrorKind = 'refused' | 'negotiation' | 'lost' | 'protocol' | 'usage'

export class NbdClientError extends Error {
  override readonly name = 'NbdClientError'
  readonly kind: ClientErrorKind
  /** Kind `refused`: the errno of the server. Else null. */
  readonly errno: number | null
  /** Kind `negotiation`: the type of the server's reply, if there was one. Else null. */
  readonly replyType: number | null

  constructor(
    kind: ClientErrorKind,
    sentence: string,
    details: { errno?: number; replyType?: number; cause?: unknown } = {},
  ) {
    super(sentence, 'cause' in details ? { cause: details.cause } : undefined)
    this.kind = kind
    this.errno = details.errno ?? null
    this.replyType = details.replyType ?? null
  }
}

/** The name of an errno, or its number. */
export function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(NbdErrno)) if (value === errno) return name
  return `error ${errno}`
}
