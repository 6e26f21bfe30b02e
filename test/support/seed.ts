/**
 * The seed of a random test: from SEED if it is set, else from the clock; printed, so that a failure can be repeated.
 */
import type { TestContext } from 'node:test'
import { Prng } from '@sitelink/storage/testing'

/** A generator for this test; `label` keeps the tests of one run apart. */
export function seededPrng(t: TestContext, label: string): Prng {
  const seed = `${process.env['SEED'] || Date.now().toString(16)}`
  t.diagnostic(`seed ${seed} (${label})`)
  return new Prng(`${seed}/${label}`)
}
