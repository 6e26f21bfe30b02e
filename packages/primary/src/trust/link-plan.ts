/**
 * How a slink is to be reached, as an operator asks for it: by an invitation, by pinned TLS, or plainly on purpose.
 *
 * Decides and does nothing. Invariant: no slink dials without encryption unless somebody said so in the same command,
 * none has both kinds of addresses, so that no failure of one leads to the other, and none dials TLS without a pin.
 */
import {
  decodeToken,
  isFingerprint,
  looksLikeToken,
  parseHostAddress,
  ProtocolError,
  type Invitation,
} from '@sitelink/protocol/light'
import type { Step } from '../admin/steps.js'
import { isBlockdev } from '../blockdev/address.js'
import type { GroupConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import { DIALS_IN } from './dial-in.js'
import { pinOf, type Pins } from './pins.js'

export interface LinkWish {
  /** The agent dials: the fingerprint of its key, which is pinned; or null. */
  readonly dialedBy: string | null
  /** The token, or null. */
  readonly invitation: string | null
  readonly insecurePlain: boolean
}

export interface LinkPlan {
  readonly addresses: readonly string[]
  /** To be used up before the slink counts. */
  readonly invitation: Invitation | null
  /** To be pinned; null: nothing is. */
  readonly pin: string | null
}

/** The words behind `--to`: one may be a token. */
export function wordsOf(given: readonly string[]): {
  readonly addresses: readonly string[]
  readonly invitation: string | null
} {
  const words = given.flatMap((word) => (looksLikeToken(word) ? [word] : word.split(',')))
  const tokens = words.filter(looksLikeToken)
  if (tokens.length > 1) throw primaryErrors.create('TOKEN_INVALID', { why: 'a slink takes one token' })
  return { addresses: words.filter((word) => !looksLikeToken(word)), invitation: tokens[0] ?? null }
}

/** `pinned`: an identity is pinned for the slink already. Throws what is to be said to the operator. */
export function planLink(
  addresses: readonly string[],
  { invitation, insecurePlain, dialedBy }: LinkWish,
  { slink, pinned }: { readonly slink: number; readonly pinned: boolean },
): LinkPlan {
  const token = invitation === null ? null : tokenOf(invitation)
  if (isBlockdev({ addresses })) {
    if (token !== null || dialedBy !== null || addresses.length > 1)
      throw primaryErrors.create('LINK_BLOCKDEV', { slink })
    return { addresses, invitation: null, pin: null }
  }
  const reached = addresses.length === 0 && token !== null ? token.addresses : addresses
  const dialsIn = reached.includes(DIALS_IN)
  if (dialedBy !== null || dialsIn) return planDialedIn(reached, { token, dialedBy, pinned, slink })
  const plain = reached.filter((address) => parseHostAddress(address).scheme === 'tcp')
  if (plain.length > 0 && (plain.length < reached.length || token !== null))
    throw primaryErrors.create('LINK_MIXED', { slink })
  if (plain.length > 0 && !insecurePlain) throw primaryErrors.create('LINK_PLAIN', { address: plain[0] as string })
  if (plain.length === 0 && reached.length > 0 && token === null && !pinned)
    throw primaryErrors.create('LINK_UNKNOWN', { slink, address: reached[0] as string })
  return { addresses: reached, invitation: token, pin: null }
}

function planDialedIn(
  addresses: readonly string[],
  wish: {
    readonly token: Invitation | null
    readonly dialedBy: string | null
    readonly pinned: boolean
    readonly slink: number
  },
): LinkPlan {
  const { token, dialedBy, pinned, slink } = wish
  if (token !== null || addresses.some((address) => address !== DIALS_IN) || addresses.length > 1)
    throw primaryErrors.create('SLINK_POLICY', { why: 'an agent that dials is not dialled: give --to or --dialed-by' })
  if (dialedBy !== null && !isFingerprint(dialedBy))
    throw primaryErrors.create('SLINK_POLICY', {
      why: `--dialed-by "${dialedBy}" should be a fingerprint of 64 hex digits, as sitelink-agent identity show prints`,
    })
  if (dialedBy === null && !pinned) throw primaryErrors.create('LINK_UNKNOWN', { slink, address: DIALS_IN })
  return { addresses: [DIALS_IN], invitation: null, pin: dialedBy }
}

/**
 * Refuses steps after which a slink would be reached in a way that nobody asked for. Steps that leave addresses as they
 * are leave the way as it is. They carry no invitation: a slink over TLS is enrolled before they name it.
 */
export function refuseLinks(
  steps: readonly Step[],
  { slinks }: Pick<GroupConfig, 'slinks'>,
  pins: Pins,
  insecurePlain: boolean,
): void {
  const wish: LinkWish = { invitation: null, insecurePlain, dialedBy: null }
  for (const step of steps) {
    if (step.kind === 'add-slink') planLink(step.wish.addresses, wish, { slink: step.wish.number, pinned: false })
    if (step.kind !== 'change-slink' || step.change.addresses === undefined) continue
    const { addresses } = step.change
    const present = slinks.find(({ number }) => number === step.slink)?.addresses ?? []
    if (addresses.join(' ') === present.join(' ')) continue
    planLink(addresses, wish, { slink: step.slink, pinned: pinOf(pins, step.slink) !== null })
  }
}

function tokenOf(word: string): Invitation {
  try {
    return decodeToken(word)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    const why = error.code === 'TOKEN_INVALID' ? String(error.facts['why']) : error.message
    throw primaryErrors.create('TOKEN_INVALID', { why }, { cause: error })
  }
}
