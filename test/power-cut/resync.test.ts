/**
 * Sites that join while the filesystem is in use, and have to be copied first: until they are a prefix they say so, and
 * what says that it is one is judged as ever.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PRIMARY } from './live-pair.js'
import { ext4 } from './filesystem.js'
import { record, replay } from './scenario.js'

test('a power cut during a resync leaves a site that says that it is no prefix, until it is one', async (t) => {
  const made = await record(t, ext4, 'half-way')
  if (made === null) return
  const counts = await replay(t, made)
  let noPrefix = 0
  for (const [host, count] of counts) {
    if (host === PRIMARY) continue
    assert(count.inconsistent > 0, `the power of ${host} was cut during its resync`)
    noPrefix += count.noPrefix
  }
  t.diagnostic(`${noPrefix} times its devices were none indeed`)
  assert(noPrefix > 0, 'what is not judged would not pass')
})
