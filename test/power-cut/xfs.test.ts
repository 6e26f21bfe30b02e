/**
 * xfs under power cuts of the primary, of a site that guards it and of one that follows.
 */
import { test } from 'node:test'
import { xfs } from './filesystem.js'
import { record, replay } from './scenario.js'

test('a power cut of any host leaves an xfs that its own log makes whole, with everything that was synced', async (t) => {
  const made = await record(t, xfs, 'first')
  if (made !== null) await replay(t, made)
})
