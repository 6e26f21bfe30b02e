/**
 * A storm of kills over a group with one synchronous slink.
 *
 * SITELINK_ROUNDS sets how many rounds, SITELINK_STORM_SECONDS after how long no new one is begun. SEED repeats the
 * choices of a run; what the processes did between them is never quite the same twice.
 */
import { test } from 'node:test'
import { Cluster } from '../support/cluster.js'
import { seededPrng } from '../support/seed.js'
import { KillStorm } from './storm/kill-storm.js'

const CLUSTERS = 2

test('[REC-01] [WR-03] [MGT-14] with a synchronous site nothing acknowledged is missing after any kill', async (t) => {
  const prng = seededPrng(t, 'kill-storm-sync')
  const rounds = Number(process.env['SITELINK_ROUNDS'] ?? 100)
  const endMs = performance.now() + Number(process.env['SITELINK_STORM_SECONDS'] ?? 600) * 1000
  // Much of a round is waiting for processes to start: clusters side by side share the time.
  const storm = async (label: string): Promise<void> => {
    const cluster = await Cluster.start({ label, logSize: '8m', slinks: [{ words: ['--policy', 'sync'] }] })
    t.after(() => cluster.close())
    const kills = new KillStorm({ cluster, prng: prng.fork(label), synchronous: true })
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
  await Promise.all(Array.from({ length: CLUSTERS }, (_, at) => storm(`storm-sync-${at + 1}`)))
})
