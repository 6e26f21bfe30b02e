/**
 * A group without any site, whose primary is killed again and again: what it acknowledged is there after every restart,
 * in the right order, and a clean stop leaves it on the local devices.
 */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { Cluster } from '../support/cluster.js'
import { History } from '../support/history.js'
import { checkPrefix } from '../support/prefix-checker.js'
import { seededPrng } from '../support/seed.js'
import { BLOCK_BYTES, readStamps, type Shown } from '../support/stamp.js'
import { Writers } from '../support/writers.js'

test('[REC-01] [REC-05] [RD-12] a primary that is killed again and again loses nothing that it acknowledged', async (t) => {
  const prng = seededPrng(t, 'kill-primary')
  const rounds = Math.min(30, Number(process.env['SITELINK_ROUNDS'] ?? 30))
  const cluster = await Cluster.start({ label: 'primary', logSize: '4m' })
  t.after(() => cluster.close())
  const blocks = cluster.devices.map(({ sizeBytes }) => sizeBytes / BLOCK_BYTES)
  const history = new History(blocks.map((count) => Array.from({ length: count }, (): Shown => ({ kind: 'empty' }))))
  const judge = (whose: string, images: readonly Buffer[]): void => {
    const { faults } = checkPrefix({ history, shown: images.map(readStamps), requiredUntil: history.now() })
    assert.deepEqual(faults, [], whose)
  }
  let writes = 0
  for (let round = 1; round <= rounds; round++) {
    const writers = await Writers.start({
      history,
      prng: prng.fork(`round ${round}`),
      blocks,
      connect: (device) => cluster.connect(cluster.devices[device]?.name ?? ''),
      writerCount: 6,
      blocksMax: prng.chance(0.2) ? 64 : 8,
    })
    await writers.reach(prng.between(1, 400))
    await delay(prng.below(8))
    const killed = prng.chance(0.8)
    if (killed) await cluster.killPrimary()
    await (killed ? writers.lost() : writers.stop())
    assert.equal(writers.refusal, null, String(writers.refusal))
    writes += writers.acknowledged
    if (!killed) {
      await cluster.stopPrimary()
      judge(`the local devices after the clean stop of round ${round}`, await localImages(cluster))
    }
    await cluster.startPrimary()
    const images = await cluster.images()
    judge(`the restarted primary of round ${round}`, images)
    history.rebase(images.map(readStamps))
  }
  t.diagnostic(`${rounds} rounds, ${writes} writes`)
})

function localImages(cluster: Cluster): Promise<Buffer[]> {
  return Promise.all(cluster.devices.map(({ path }) => readFile(path)))
}
