/**
 * The agents behind the slinks as verbs report them.
 */
import type { GroupConfig } from '../config.js'
import { pinOf, type Pins } from './pins.js'

export interface PeerRow {
  readonly slink: number
  /** Null: none is pinned, because the link is plain or the identity was revoked. */
  readonly fingerprint: string | null
  readonly enrolledMs: number | null
  readonly addresses: readonly string[]
}

export function peerRows({ slinks }: Pick<GroupConfig, 'slinks'>, pins: Pins): PeerRow[] {
  return slinks.map(({ number, addresses }) => {
    const pin = pinOf(pins, number)
    return { slink: number, fingerprint: pin?.fingerprint ?? null, enrolledMs: pin?.enrolledMs ?? null, addresses }
  })
}
