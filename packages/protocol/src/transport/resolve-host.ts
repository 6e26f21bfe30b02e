/**
 * The addresses behind a host, for libraries that take nothing else. Owns the codes of what fails.
 */
import { lookup } from 'node:dns/promises'
import { ProtocolError, reasonOf } from '../errors.js'
import type { HostAddress } from './address.js'

export interface ResolvedHost {
  readonly ip: string
  readonly family: 4 | 6
}

/** At least one, in the order of the system's resolver. Rejects with `DIAL_UNKNOWN_HOST`. */
export async function resolveHost({ host }: HostAddress, address: string): Promise<readonly ResolvedHost[]> {
  try {
    const found = await lookup(host, { all: true, verbatim: true })
    return found.map((one) => ({ ip: one.address, family: one.family === 6 ? 6 : 4 }))
  } catch (error) {
    throw new ProtocolError('DIAL_UNKNOWN_HOST', { address, why: reasonOf(error) }, { cause: error })
  }
}
