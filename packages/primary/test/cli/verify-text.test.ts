/** What `sitelink verify` prints. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SitelinkError } from '@sitelink/daemon'
import { refuseVerify, verifyText } from '../../src/cli/commands/verify.js'

test('what an agent says about a range that it cannot read never reaches the terminal as it is', () => {
  const why = 'EIO\u001b[2J\u001b]0;owned\u0007'
  const range = { device: 0, offsetBytes: 0, lengthBytes: 4096 }
  const counts = { totalBytes: 4096, equalBytes: 0, differentBytes: 0, leftOutBytes: 0, unreadableBytes: 4096 }
  const found = { slink: 1, devices: [], complete: true, why: null, different: [], notNamedBytes: 0 }
  const marks = { markedRegions: 0, markProblem: null }
  const text = verifyText({ ...found, ...counts, ...marks, unreadable: [{ ...range, side: 'agent', why }] }, 10, 80)
  assert.match(text, /4096 bytes at 0 cannot be read at the agent: EIO/)
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f]/)
})

test('a verify that did not come to its end is never a success, and says what it did not compare', () => {
  const counts = { totalBytes: 8192, equalBytes: 4096, differentBytes: 0, leftOutBytes: 0, unreadableBytes: 0 }
  const found = {
    slink: 1,
    devices: [],
    different: [],
    notNamedBytes: 0,
    unreadable: [],
    markedRegions: 0,
    markProblem: null,
  }
  const report = { ...found, ...counts, complete: false, why: 'nobody answers' }
  assert.match(verifyText(report, 10, 80), /^stopped before all of 8 KiB was compared: nobody answers\n4 KiB are equal/)
  assert.throws(() => refuseVerify(report), { code: 'VERIFY_STOPPED' })
  assert.throws(() => refuseVerify({ ...report, equalBytes: 0, differentBytes: 4096 }), { code: 'VERIFY_DIFFERENT' })
})

test('[RSY-20] what differs and could not be marked is printed with its ranges, and the status says both', () => {
  const counts = { totalBytes: 8192, equalBytes: 4096, differentBytes: 4096, leftOutBytes: 0, unreadableBytes: 0 }
  const found = { slink: 1, devices: [], notNamedBytes: 0, unreadable: [], complete: true, why: null, markedRegions: 0 }
  const different = [{ device: 0, offsetBytes: 4096, lengthBytes: 4096 }]
  const report = { ...found, ...counts, different, markProblem: 'cannot write /state/dirty: EIO' }
  assert.match(verifyText(report, 10, 80), / 0 +4096 +4096\n/)
  assert.throws(
    () => refuseVerify(report),
    (error: unknown) => {
      assert.ok(SitelinkError.is(error))
      assert.equal(error.code, 'VERIFY_NOT_MARKED')
      assert.match(error.message, /4096 bytes lie in ranges that differ, and that could not be marked: cannot write/)
      return true
    },
  )
})

test('[RSY-20] after --mark nobody is told to begin what goes on by itself', () => {
  const counts = { totalBytes: 8192, equalBytes: 4096, differentBytes: 4096, leftOutBytes: 0, unreadableBytes: 0 }
  const found = { slink: 7, devices: [], different: [], notNamedBytes: 0, unreadable: [], complete: true, why: null }
  const report = { ...found, ...counts, markedRegions: 1, markProblem: null }
  assert.throws(
    () => refuseVerify(report),
    (error: unknown) => {
      assert.ok(SitelinkError.is(error))
      assert.match(error.hint ?? '', /^nothing: they are copied by themselves .*resync 7 shows.*then .*verify 7$/)
      return true
    },
  )
})

test('[RSY-20] unreadable bytes that no line names are told as a sum', () => {
  const range = { device: 0, offsetBytes: 0, lengthBytes: 4096, side: 'agent' as const, why: 'EIO' }
  const counts = { totalBytes: 12_288, equalBytes: 0, differentBytes: 0, leftOutBytes: 0, unreadableBytes: 12_288 }
  const found = { slink: 1, devices: [], complete: true, why: null, different: [], notNamedBytes: 0 }
  const report = { ...found, ...counts, unreadable: [range], markedRegions: 0, markProblem: null }
  assert.match(
    verifyText(report, 10, 80),
    /^device 0: 4096 bytes at 0 .*EIO\nand 8 KiB in further ranges cannot be read\n/,
  )
})
