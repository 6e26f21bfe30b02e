/**
 * A storm of kills over groups with one slink: how many rounds, for how long, over how many clusters side by side.
 *
 * SITELINK_ROUNDS sets how many rounds, SITELINK_STORM_SECONDS after how long no new one is begun. SEED repeats the
 * choices of a run; what the processes did between them is never quite the same twice.
 */
import type { TestContext } from 'node:test'
import { Cluster } from '../../support/cluster.js'
import { seededPrng } from '../../support/seed.js'
import { KillStorm } from './kill-storm.js'

/** Much of a round is waiting for processes to start: clusters side by side share the time. */
const CLUSTERS = 2

export async function runKillStorm(t: TestContext, policy: 'sync' | 'async'): Promise<void> {
  const prng = seededPrng(t, `kill-storm-${policy}`)
  const rounds = Number(process.env['SITELINK_ROUNDS'] ?? 100)
  const endMs = performance.now() + Number(process.env['SITELINK_STORM_SECONDS'] ?? 600) * 1000
  const storm = async (label: string): Promise<void> => {
    const cluster = await Cluster.start({ label, logSize: '8m', slinks: [{ words: ['--policy', policy] }] })
    t.after(() => cluster.close())
    const kills = new KillStorm({ cluster, prng: prng.fork(label), synchronous: policy === 'sync' })
    try {
      await cluster.inStep()
      while (kills.counts.rounds < rounds / CLUSTERS && performance.now() < endMs) await kills.round()
    } catch (error) {
      console.log(await cluster.report())
      throw error
    } finally {
      t.diagnostic(`${label}: ${JSON.stringify(kills.counts)}`)
    }
  }
  // One that fails waits for the other: what a test that is over starts, nobody would end.
  const ended = await Promise.allSettled(
    Array.from({ length: CLUSTERS }, (_, at) => storm(`storm-${policy}-${at + 1}`)),
  )
  for (const one of ended) if (one.status === 'rejected') throw one.reason
}
