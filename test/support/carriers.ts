/**
 * What a link of the tests can go over here, and why not over the rest.
 *
 * Where SITELINK_REQUIRE_CLIENTS=1, as in CI, what is missing is a failure: nothing is left out there.
 */
import { quicProblem } from '@sitelink/protocol'
import { Prng } from '@sitelink/storage/testing'

export type LinkScheme = 'tcp' | 'tls' | 'quic' | 'https'

export const SCHEMES: readonly LinkScheme[] = ['tcp', 'tls', 'https', 'quic']

/** Why nothing goes over it here, or null. */
export function carrierProblem(scheme: LinkScheme): string | null {
  return scheme === 'quic' ? quicProblem() : null
}

/**
 * Those of `wanted` that can be had; `say` is told of the others. Throws where none may be missing, or all are.
 * `problemOf`: as {@link carrierProblem}.
 */
export function carriersHere(
  wanted: readonly LinkScheme[],
  say: (line: string) => void,
  problemOf: (scheme: LinkScheme) => string | null = carrierProblem,
): LinkScheme[] {
  const here = wanted.filter((scheme) => {
    const why = problemOf(scheme)
    if (why === null) return true
    if (process.env['SITELINK_REQUIRE_CLIENTS'] === '1')
      throw new Error(`${scheme}: ${why}, and SITELINK_REQUIRE_CLIENTS asks for it`)
    say(`without ${scheme}: ${why}`)
    return false
  })
  if (here.length === 0) throw new Error(`nothing can be had of ${wanted.join(', ')}`)
  return here
}

/**
 * What a test goes over to which all carriers are the same: SITELINK_OVER, or one that is drawn from the seed of the run,
 * so that all of them come by turns. `label` tells tests apart.
 */
export function anyCarrier(label: string): LinkScheme {
  const { SITELINK_OVER: named, SEED: seed } = process.env
  const wanted = named ? SCHEMES.filter((scheme) => scheme === named) : SCHEMES
  const here = carriersHere(wanted, (line) => console.log(line))
  const drawn = new Prng(`${seed || Date.now().toString(16)}/${label}/carrier`).pick(here)
  console.log(`${label} goes over ${drawn} (SITELINK_OVER=${drawn})`)
  return drawn
}
