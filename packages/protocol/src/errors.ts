/**
 * The coded errors of this package: what can go wrong with an address, a dial or a listening socket.
 *
 * Owns the codes, their texts and the one class that carries them; everything that an error says is derived from its
 * code and facts. Bugs are assertions (entry/assert.ts), and how a session ended is a tagged reason (session/session.ts).
 */

/** One row of the registry. `{name}` stands for a fact; `retry` is true where the same call may succeed later. */
export interface ProtocolErrorInfo {
  readonly kind: 'usage' | 'operating'
  readonly retry: boolean
  readonly text: string
  readonly hint: string | null
}

export const protocolErrorCodes = {
  ADDRESS_INVALID: {
    kind: 'usage',
    retry: false,
    text: '"{address}" is not an address: {why}',
    hint: 'write it as tcp://host:port or tcp://[v6-address]:port',
  },
  SCHEME_UNKNOWN: {
    kind: 'usage',
    retry: false,
    text: '"{address}" names the transport "{scheme}", which is not known here: use one of {known}',
    hint: null,
  },
  DIAL_REFUSED: {
    kind: 'operating',
    retry: true,
    text: 'cannot connect to {address}: nobody listens there',
    hint: 'start sitelink-agent at that address',
  },
  DIAL_UNKNOWN_HOST: {
    kind: 'operating',
    retry: true,
    text: 'cannot connect to {address}: the host name cannot be resolved ({why})',
    hint: null,
  },
  DIAL_TIMEOUT: {
    kind: 'operating',
    retry: true,
    text: 'cannot connect to {address}: no answer within {timeoutMs} ms',
    hint: 'see whether a firewall drops the connection',
  },
  DIAL_ABORTED: { kind: 'operating', retry: true, text: 'connecting to {address} was given up', hint: null },
  DIAL_FAILED: { kind: 'operating', retry: true, text: 'cannot connect to {address}: {why}', hint: null },
  LISTEN_IN_USE: {
    kind: 'operating',
    retry: true,
    text: 'cannot listen on {address}: the address is in use',
    hint: 'stop the other program or choose another port',
  },
  LISTEN_FAILED: { kind: 'operating', retry: false, text: 'cannot listen on {address}: {why}', hint: null },
  CONNECTION_LOST: { kind: 'operating', retry: true, text: 'the connection {connection} broke: {why}', hint: null },
} as const satisfies Record<string, ProtocolErrorInfo>

export type ProtocolErrorCode = keyof typeof protocolErrorCodes

/** An operating error of this package. `message` is the row's text with the facts filled in. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly kind: ProtocolErrorInfo['kind']
  readonly retry: boolean
  readonly hint: string | null

  constructor(
    readonly code: ProtocolErrorCode,
    readonly facts: Readonly<Record<string, string | number>>,
    options?: ErrorOptions,
  ) {
    const info = protocolErrorCodes[code]
    super(
      info.text.replace(/\{(\w+)\}/g, (_, name: string) => String(facts[name] ?? '?')),
      options,
    )
    this.kind = info.kind
    this.retry = info.retry
    this.hint = info.hint
  }
}

/** What a system error says, in words that name its code: `read ECONNRESET`. Also of errors that bundle several. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(reasonOf))].join('; ')
  }
  return error instanceof Error ? error.message : String(error)
}
