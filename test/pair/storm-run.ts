/**
 * Runs many storms from one seed, and says how to repeat the one that failed.
 *
 * PAIR_SEEDS: how many (default 40 a profile). PAIR_SEED: run exactly this one. SEED: where the seeds come from.
 */
import type { TestContext } from 'node:test'
import { seedFromEnv } from '@sitelink/storage/testing'
import { Storm, type StormProfile } from './storm.js'

const SEEDS_DEFAULT = 40

export async function runStorms(t: TestContext, file: string, profile: StormProfile): Promise<void> {
  const only = process.env['PAIR_SEED']
  const seed = only ?? seedFromEnv(`pair ${profile.mode}`)
  const count = only === undefined ? Number(process.env['PAIR_SEEDS'] ?? SEEDS_DEFAULT) : 1
  const kinds = new Map<string, number>()
  for (let at = 0; at < count; at++) {
    const label = only ?? `${seed}/${profile.mode}/${at}`
    const storm = new Storm(label, profile)
    try {
      await storm.run()
    } catch (error) {
      const trace = storm.trace.slice(-25).join('\n')
      const how = `repeat it with: PAIR_SEED=${label} pnpm test ${file}`
      throw new Error(
        `storm ${label} failed: ${(error as Error).message}\n${how}\n${trace}\n${storm.world.describe()}`,
        { cause: error },
      )
    }
    for (const { kind } of [...storm.world.primary.events, ...storm.world.agent.events])
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  }
  const seen = [...kinds].sort((a, b) => b[1] - a[1]).map(([kind, times]) => `${kind} ${times}`)
  t.diagnostic(`${count} storms: ${seen.join(', ')}`)
}
