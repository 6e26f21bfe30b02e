/**
 * A log that is resized by the command line while real clients write, a site is away, and the primary is killed in the
 * middle: what was acknowledged is there after every restart, the log has one size or the other, and the site catches up.
 */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'node:test'
import { ControlClient } from '@sitelink/daemon'
import { anyCarrier } from '../support/carriers.js'
import { Cluster } from '../support/cluster.js'
import { History } from '../support/history.js'
import { checkPrefix } from '../support/prefix-checker.js'
import { seededPrng } from '../support/seed.js'
import { BLOCK_BYTES, readStamps, type Shown } from '../support/stamp.js'
import { Writers } from '../support/writers.js'

const MIB = 1024 * 1024

async function atOnce(state: string, sizeBytes: number): Promise<{ status: number; stderr: string }> {
  try {
    const steps = new ControlClient(state).stream('log-resize', { sizeBytes, sparse: false, overwrite: true })
    while ((await steps.next()).done !== true);
    return { status: 0, stderr: '' }
  } catch (error) {
    return { status: 75, stderr: String(error) }
  }
}

test('[REC-17] [MSG-10] a log that is resized by the command line, and killed in the middle, loses nothing and no site', async (t) => {
  const prng = seededPrng(t, 'log-resize')
  const rounds = Math.min(8, Number(process.env['SITELINK_ROUNDS'] ?? 8))
  const cluster = await Cluster.start({
    label: 'log-resize',
    scheme: anyCarrier('log-resize'),
    logSize: '48m',
    slinks: [{ words: ['--policy', 'async'] }],
  })
  t.after(() => cluster.close())
  await cluster.inStep()
  const blocks = cluster.devices.map(({ sizeBytes }) => sizeBytes / BLOCK_BYTES)
  const history = new History(blocks.map((count) => Array.from({ length: count }, (): Shown => ({ kind: 'empty' }))))
  await cluster.agent().kill()
  const counts = { resized: 0, refused: 0, cut: 0 }
  let sizeBytes = 48 * MIB
  for (let round = 1; round <= rounds; round++) {
    const writers = await Writers.start({
      history,
      prng: prng.fork(`round ${round}`),
      blocks,
      connect: (device) => cluster.connect(cluster.devices[device]?.name ?? ''),
      writerCount: 4,
      blocksMax: 8,
    })
    await writers.reach(prng.between(1, 200))
    const wanted = prng.between(24, 96) * MIB
    const killed = prng.chance(0.6)
    // The command line takes half a second to begin; a kill in the middle needs a closer look.
    const resizing = killed ? atOnce(cluster.state, wanted) : cluster.run('log', 'resize', String(wanted))
    if (killed) {
      await delay(prng.between(0, 120))
      await cluster.killPrimary()
    }
    const { status, stderr } = await resizing
    await (killed ? writers.lost() : writers.stop())
    assert.equal(writers.refusal, null, String(writers.refusal))
    if (status === 0) counts.resized++
    else if (killed) counts.cut++
    else {
      assert.equal(status, 75, stderr)
      counts.refused++
    }
    if (killed) await cluster.startPrimary()
    const { log } = await cluster.status()
    const found = (log as { sizeBytes: number }).sizeBytes
    assert.ok(
      found === wanted || (status !== 0 && found === sizeBytes),
      `${found} is neither ${wanted} nor ${sizeBytes}`,
    )
    assert.ok(statSync(join(cluster.folder, 'primary', 'log')).size >= found)
    sizeBytes = found
    const images = await cluster.images()
    const { faults } = checkPrefix({ history, shown: images.map(readStamps), requiredUntil: history.now() })
    assert.deepEqual(faults, [], `the primary of round ${round}`)
    history.rebase(images.map(readStamps))
  }
  t.diagnostic(JSON.stringify(counts))
  await cluster.agent().start()
  await cluster.applied()
  const status = await cluster.status()
  assert.equal(status.slinks[0]?.behind, false)
  assert.deepEqual((await cluster.agent().images()).map(readStamps), (await cluster.images()).map(readStamps))
})
