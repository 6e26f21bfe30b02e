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

test('[REC-01] [WR-03] [MGT-14] with a synchronous site nothing acknowledged is missing after any kill', async (t) => {
  const prng = seededPrng(t, 'kill-storm-sync')
  const rounds = Number(process.env['SITELINK_ROUNDS'] ?? 100)
  const endMs = performance.now() + Number(process.env['SITELINK_STORM_SECONDS'] ?? 600) * 1000
  const cluster = await Cluster.start({ label: 'storm', logSize: '8m', slinks: [{ words: ['--policy', 'sync'] }] })
  t.after(() => cluster.close())
  const storm = new KillStorm({ cluster, prng, synchronous: true })
  try {
    await cluster.inStep()
    while (storm.counts.rounds < rounds && performance.now() < endMs) await storm.round()
  } catch (error) {
    console.log(await cluster.report())
    throw error
  } finally {
    t.diagnostic(JSON.stringify(storm.counts))
  }
})
