/** What `sitelink verify` prints. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refuseVerify, verifyText } from '../../src/cli/commands/verify.js'

test('what an agent says about a range that it cannot read never reaches the terminal as it is', () => {
  const why = 'EIO\u001b[2J\u001b]0;owned\u0007'
  const range = { device: 0, offsetBytes: 0, lengthBytes: 4096 }
  const counts = { totalBytes: 4096, equalBytes: 0, differentBytes: 0, leftOutBytes: 0, unreadableBytes: 4096 }
  const found = { slink: 1, devices: [], complete: true, why: null, different: [], notNamedBytes: 0, markedRegions: 0 }
  const text = verifyText({ ...found, ...counts, unreadable: [{ ...range, side: 'agent', why }] }, 10, 80)
  assert.match(text, /4096 bytes at 0 cannot be read at the agent: EIO/)
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f]/)
})

test('a verify that did not come to its end is never a success, and says what it did not compare', () => {
  const counts = { totalBytes: 8192, equalBytes: 4096, differentBytes: 0, leftOutBytes: 0, unreadableBytes: 0 }
  const found = { slink: 1, devices: [], different: [], notNamedBytes: 0, unreadable: [], markedRegions: 0 }
  const report = { ...found, ...counts, complete: false, why: 'nobody answers' }
  assert.match(verifyText(report, 10, 80), /^stopped before all of 8 KiB was compared: nobody answers\n4 KiB are equal/)
  assert.throws(() => refuseVerify(report), { code: 'VERIFY_STOPPED' })
  assert.throws(() => refuseVerify({ ...report, equalBytes: 0, differentBytes: 4096 }), { code: 'VERIFY_DIFFERENT' })
})
