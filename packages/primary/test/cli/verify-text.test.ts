/** What `sitelink verify` prints. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verifyText } from '../../src/cli/commands/verify.js'

test('what an agent says about a range that it cannot read never reaches the terminal as it is', () => {
  const why = 'EIO\u001b[2J\u001b]0;owned\u0007'
  const range = { device: 0, offsetBytes: 0, lengthBytes: 4096 }
  const counts = { totalBytes: 4096, equalBytes: 0, differentBytes: 0, leftOutBytes: 0, unreadableBytes: 4096 }
  const found = { slink: 1, devices: [], complete: true, different: [], notNamedBytes: 0, markedRegions: 0 }
  const text = verifyText({ ...found, ...counts, unreadable: [{ ...range, side: 'agent', why }] }, 10, 80)
  assert.match(text, /4096 bytes at 0 cannot be read at the agent: EIO/)
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f]/)
})
