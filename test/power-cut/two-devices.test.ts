/**
 * An ext4 whose journal is on another device of the group, with all data going through it: both devices have to be cut at
 * one point of one order.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { behind, caught, lost, none, SAMPLE } from './distort.js'
import { ext4OnTwoDevices } from './filesystem.js'
import { record, replay } from './scenario.js'

test('a power cut of any host leaves a filesystem and its journal on another device that fit each other', async (t) => {
  const made = await record(t, ext4OnTwoDevices, 'first')
  if (made === null) return
  await replay(t, made)
  assert.equal(await caught(made.recording, none, made.prng.fork('none')), 0, 'where nothing is wrong nothing is found')

  const distortions = { 'an entry lost': lost, 'its data behind': behind(1), 'its journal behind': behind(2) }
  for (const [what, distortion] of Object.entries(distortions)) {
    await t.test(`canary: two devices with ${what} do not pass`, async (t) => {
      const count = await caught(made.recording, distortion, made.prng.fork(what))
      t.diagnostic(`seen in ${count} of ${SAMPLE} images`)
      assert(count > 0)
    })
  }
})
