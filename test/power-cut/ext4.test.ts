/**
 * ext4 under power cuts of the primary, of a site that guards it and of one that follows; and what must not pass for one.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { caught, lost, none, SAMPLE, swapped } from './distort.js'
import { ext4 } from './filesystem.js'
import { record, replay } from './scenario.js'

test('a power cut of any host leaves an ext4 that its own journal makes whole, with everything that was synced', async (t) => {
  const made = await record(t, ext4, 'first')
  if (made === null) return
  await replay(t, made)
  assert.equal(await caught(made.recording, none, made.prng.fork('none')), 0, 'where nothing is wrong nothing is found')

  for (const [what, distortion] of Object.entries({ lost, swapped })) {
    await t.test(`canary: an ext4 with an entry ${what} does not pass`, async (t) => {
      const count = await caught(made.recording, distortion, made.prng.fork(what))
      t.diagnostic(`seen in ${count} of ${SAMPLE} images`)
      assert(count > 0)
    })
  }
})
