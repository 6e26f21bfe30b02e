/**
 * A storm of kills over groups with one slink: how many rounds, for how long, over how many clusters side by side.
 *
 * SITELINK_ROUNDS sets how many rounds, SITELINK_STORM_SECONDS after how long no new one is begun. SEED repeats the
 * choices of a run; what the processes did between them is never quite the same twice. Each cluster goes over a carrier of
 * its own; the rounds are shared, because over some a dead peer is found later.
 */
import type { TestContext } from 'node:test'
import { carriersHere, type LinkScheme } from '../../support/carriers.js'
import { Cluster } from '../../support/cluster.js'
import { seededPrng } from '../../support/seed.js'
import { KillStorm } from './kill-storm.js'

/** Much of a round is waiting for processes to start: clusters side by side share the time. */
const OVER = { async: ['tls', 'quic'], sync: ['tcp', 'https'] } as const

/** Nobody is told of a peer that died over UDP: that is found by its silence, sooner than by default. */
const DETECT = ['--detect', '500ms']

export async function runKillStorm(t: TestContext, policy: 'sync' | 'async'): Promise<void> {
  const prng = seededPrng(t, `kill-storm-${policy}`)
  const rounds = Number(process.env['SITELINK_ROUNDS'] ?? 100)
  const endMs = performance.now() + Number(process.env['SITELINK_STORM_SECONDS'] ?? 150) * 1000
  let begun = 0
  const storm = async (scheme: LinkScheme): Promise<void> => {
    const label = `storm-${policy}-${scheme}`
    const words = ['--policy', policy, ...(scheme === 'quic' ? DETECT : [])]
    const cluster = await Cluster.start({ label, scheme, logSize: '8m', slinks: [{ words }] })
    t.after(() => cluster.close())
    const kills = new KillStorm({ cluster, prng: prng.fork(label), synchronous: policy === 'sync' })
    try {
      await cluster.inStep()
      while (begun++ < rounds && performance.now() < endMs) await kills.round()
    } catch (error) {
      console.log(await cluster.report())
      throw error
    } finally {
      t.diagnostic(`${label}: ${JSON.stringify(kills.counts)}`)
    }
  }
  // One that fails waits for the other: what a test that is over starts, nobody would end.
  const over = carriersHere(OVER[policy], (line) => t.diagnostic(line))
  const ended = await Promise.allSettled(over.map(storm))
  for (const one of ended) if (one.status === 'rejected') throw one.reason
}
