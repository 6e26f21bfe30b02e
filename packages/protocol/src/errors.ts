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
  TLS_PLAIN_PEER: {
    kind: 'operating',
    retry: true,
    text: 'cannot connect to {address}: what listens there does not speak TLS',
    hint: 'have the agent listen on tls://host:port, or say tcp:// and --insecure-plain at both ends',
  },
  TLS_OLD_PEER: {
    kind: 'operating',
    retry: true,
    text: 'cannot connect to {address}: what listens there offers no TLS 1.3',
    hint: 'see what listens there: nothing older is used',
  },
  TLS_OTHER_PROGRAM: {
    kind: 'operating',
    retry: true,
    text: 'cannot connect to {address}: what listens there speaks TLS, but no protocol of Sitelink',
    hint: 'see whether the address is that of an agent',
  },
  TLS_WRONG_KEY: {
    kind: 'operating',
    retry: true,
    text: 'refused {address}: it shows the identity {shown}, {why}',
    hint: 'if that is right, enrol with a new token: sitelink-agent invite, then sitelink slink set N --to TOKEN',
  },
  TLS_NOT_KNOWN: {
    kind: 'operating',
    retry: true,
    text: '{address} refused the identity {own} of this side: it was never enrolled there, or was revoked',
    hint: 'enrol with a new token: sitelink-agent invite, then sitelink slink set N --to TOKEN',
  },
  TLS_FORBIDDEN: {
    kind: 'operating',
    retry: true,
    text: '{address} knows the identity {own} of this side, which has not the right to replicate to it',
    hint: 'enrol with a token that allows it: sitelink-agent invite --allow replicate',
  },
  TLS_NOT_ADMITTED: {
    kind: 'operating',
    retry: true,
    text: '{address} could not judge the identity {own} of this side',
    hint: 'see the events of the agent',
  },
  TLS_FAILED: {
    kind: 'operating',
    retry: true,
    text: 'the TLS handshake with {address} failed: {why}',
    hint: null,
  },
  QUIC_UNAVAILABLE: {
    kind: 'operating',
    retry: false,
    text: '{address} needs the optional package {package}: {why}',
    hint: 'install it, or use tls:// addresses at both ends: they need nothing else',
  },
  HTTP3_UNAVAILABLE: {
    kind: 'operating',
    retry: false,
    text: '{address} is to go over HTTP/3 (--quic require), which cannot be had here: {why}',
    hint: 'have the install script of that package run, as docs/operating/links.md says, or say --quic auto',
  },
  HTTP3_UNREACHABLE: {
    kind: 'operating',
    retry: true,
    text: '{address} is to go over HTTP/3 (--quic require), by which it is not reached: {why}',
    hint: 'see that the agent listens with HTTP/3 and that UDP is let through, or say --quic auto',
  },
  PROOF_WRONG: {
    kind: 'operating',
    retry: true,
    text: 'refused {address}: what listens there does not prove the identity that it shows: {why}',
    hint: 'see what listens there: somebody may stand between',
  },
  PROOF_FAILED: {
    kind: 'operating',
    retry: true,
    text: 'the exchange of identities with {address} failed: {why}',
    hint: null,
  },
  TOKEN_INVALID: {
    kind: 'usage',
    retry: false,
    text: 'this is not an invitation: {why}',
    hint: 'copy the whole token that sitelink-agent invite prints',
  },
  ENROL_REFUSED: {
    kind: 'operating',
    retry: false,
    text: '{address} refused the invitation: {why}',
    hint: 'get a new token: sitelink-agent invite',
  },
  CONNECTION_ENDED: {
    kind: 'operating',
    retry: true,
    text: 'the connection {connection} was ended: {why}',
    hint: null,
  },
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

/** True for the refusal of an identity, by either side: no network is to blame, and trying again changes nothing by itself. */
export function isIdentityRefusal(error: unknown): boolean {
  return error instanceof ProtocolError && IDENTITY_REFUSALS.includes(error.code)
}

const IDENTITY_REFUSALS: readonly ProtocolErrorCode[] = [
  'TLS_PLAIN_PEER',
  'TLS_OLD_PEER',
  'TLS_OTHER_PROGRAM',
  'TLS_WRONG_KEY',
  'PROOF_WRONG',
  'TLS_NOT_KNOWN',
  'TLS_FORBIDDEN',
  'TLS_NOT_ADMITTED',
]

/** What a system error says, in words that name its code: `read ECONNRESET`. Also of errors that bundle several. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(reasonOf))].join('; ')
  }
  return error instanceof Error ? error.message : String(error)
}
