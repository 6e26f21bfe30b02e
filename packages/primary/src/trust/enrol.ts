/**
 * Enrolling at an agent: an invitation is used up there, and the key that was met is what is to be pinned here.
 *
 * Owns one exchange, at the first address that answers. It pins nothing itself: what it answers is worth nothing until
 * the caller has stored it. The key is judged against the invitation before anything is said to the other side. Only a
 * dial is ever made a second time, never the exchange: a token counts once.
 */
import {
  askToEnrol,
  isIdentityRefusal,
  KeyedTransports,
  ProtocolError,
  type LoadHttp3,
  type QuicMode,
  type Random,
  type Clock,
  type Invitation,
  type ShownPeer,
  type TlsIdentity,
} from '@sitelink/protocol'
import { primaryErrors } from '../errors.js'
import { DIAL_MS_MAX } from '../limits.js'
import { short, type Pin } from './pins.js'

/** Answers the pin. Throws `ENROL_REFUSED`, `ENROL_UNREACHABLE`, `LINK_LIBRARY` or `LINK_HTTP3`. */
export async function enrol(
  invitation: Invitation,
  addresses: readonly string[],
  parts: {
    readonly identity: TlsIdentity
    readonly clock: Clock
    readonly random: Random
    readonly quic: QuicMode
    readonly loadHttp3?: LoadHttp3 | undefined
  },
): Promise<Pin> {
  const { identity, clock, random, quic, loadHttp3 } = parts
  const transports = new KeyedTransports({
    clock,
    random,
    ...(loadHttp3 === undefined ? {} : { loadHttp3 }),
    identity: () => identity,
    judge: async ({ keys }) =>
      keys.includes(invitation.fingerprint)
        ? { kind: 'known' }
        : {
            kind: 'refused',
            verdict: 'unknown',
            why: `which is not the one of the invitation: ${short(invitation.fingerprint)}`,
          },
  })
  let unreachable: ProtocolError | null = null
  for (const address of addresses) {
    try {
      const { connection, peer } = await dialAgent(transports, address, quic)
      const agent = keyOf(peer)
      const pair = { primary: identity.fingerprint, agent }
      await askToEnrol(connection, invitation, pair, address, { clock, timeoutMs: DIAL_MS_MAX })
      return { fingerprint: agent, enrolledMs: Math.floor(clock.wallUs() / 1000) }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      if (error.code === 'ENROL_REFUSED' || error.code === 'TLS_WRONG_KEY' || error.code === 'PROOF_WRONG')
        throw primaryErrors.create('ENROL_REFUSED', { why: error.message, reason: error.code }, { cause: error })
      if (error.code === 'QUIC_UNAVAILABLE')
        throw primaryErrors.create('LINK_LIBRARY', { why: error.message }, { cause: error })
      if (error.code === 'HTTP3_UNAVAILABLE')
        throw primaryErrors.create('LINK_HTTP3', { why: error.message }, { cause: error })
      unreachable ??= error
    }
  }
  if (unreachable?.code === 'HTTP3_UNREACHABLE')
    throw primaryErrors.create('LINK_HTTP3', { why: unreachable.message }, { cause: unreachable })
  const why = unreachable?.message ?? 'the invitation has no address'
  throw primaryErrors.create('ENROL_UNREACHABLE', { why, reason: unreachable?.code ?? null }, { cause: unreachable })
}

/** Where HTTP/3 may have opened and carried nothing, the second dial goes over HTTP/2: the transports remember that. */
async function dialAgent(
  transports: KeyedTransports,
  address: string,
  quic: QuicMode,
): ReturnType<KeyedTransports['dialFor']> {
  const dial = (): ReturnType<KeyedTransports['dialFor']> =>
    transports.dialFor('enrol', address, { timeoutMs: DIAL_MS_MAX, quic })
  if (quic !== 'auto' || !address.startsWith('https:')) return dial()
  try {
    return await dial()
  } catch (error) {
    if (!(error instanceof ProtocolError) || isIdentityRefusal(error)) throw error
    return dial()
  }
}

function keyOf({ keys }: ShownPeer): string {
  return keys[0] as string // it was judged good, so there is one
}
