import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import {
  daemonErrors,
  defineErrors,
  errorSection,
  errorSlices,
  EXIT,
  factNames,
  formatError,
  formatErrorJson,
  SitelinkError,
  systemError,
  whyOf,
  withErrorSection,
} from '../src/index.js'

const sample = defineErrors('sample', {
  SLINK_BEHIND: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'slink {slink} is behind: {bytes} bytes',
    hint: '<prog> resync {slink}',
    about: 'Its entries no longer fit the log.',
  },
  SLINK_GONE: { kind: 'corruption', retry: false, exit: EXIT.data, text: 'gone', hint: null },
})

describe('an operating error', () => {
  it('derives all that it shows from its code and its facts', () => {
    const cause = new Error('why')
    const error = sample.create('SLINK_BEHIND', { slink: 1, bytes: 2n ** 60n, device: 'data' }, { cause })
    assert.deepEqual(error.toJson('sitelink'), {
      code: 'SLINK_BEHIND',
      kind: 'operating',
      retry: true,
      exit: 75,
      message: 'slink 1 is behind: 1152921504606846976 bytes',
      hint: 'sitelink resync 1',
      facts: { slink: 1, bytes: '1152921504606846976', device: 'data' },
    })
    assert.equal(error.cause, cause)
    assert.match(error.stack ?? '', /errors\.test/)
  })

  it('needs the facts that its text speaks of', () => {
    // @ts-expect-error -- bytes is missing
    sample.create('SLINK_BEHIND', { slink: 1 })
    // @ts-expect-error -- no code of this slice
    assert.throws(() => sample.create('STATE_MISSING', { path: '/' }), /is in sample/)
    sample.create('SLINK_GONE')
  })

  it('is recognised by its code alone', () => {
    const error: unknown = sample.create('SLINK_GONE')
    assert.equal(sample.is(error, 'SLINK_GONE'), true)
    assert.equal(sample.is(error, 'SLINK_BEHIND'), false)
    assert.equal(sample.is(new Error('gone'), 'SLINK_GONE'), false)
    assert.equal(SitelinkError.is({ code: 'SLINK_GONE' }), false)
  })

  it('keeps its meaning over the wire, also where its code is not known', () => {
    const error = sample.create('SLINK_BEHIND', { slink: 1, bytes: 7 })
    const back = SitelinkError.fromJson(JSON.parse(JSON.stringify(error.toJson())))
    assert.deepEqual(back?.toJson(), error.toJson())
    assert.equal(formatError(back, 'sitelink'), formatError(error, 'sitelink'))
    const newer = { ...error.toJson(), code: 'OF_A_LATER_RELEASE', exit: 77 }
    assert.equal(SitelinkError.fromJson(newer)?.exit, 77)
    assert.equal(SitelinkError.fromJson({ ...newer, exit: 0 })?.exit, 70)
    for (const bad of [null, 1, {}, { ...newer, kind: 'other' }, { ...newer, message: 1 }])
      assert.equal(SitelinkError.fromJson(bad), null)
  })

  it('cannot steer a terminal by what came from outside', () => {
    const error = sample.create('SLINK_BEHIND', { slink: '\u001b[2J\n', bytes: 1 })
    assert.equal(error.message, 'slink \\x1b[2J\\x0a is behind: 1 bytes')
  })
})

describe('the registry', () => {
  it('has every code once, with a text and a hint on one line', () => {
    assert.throws(() => defineErrors('other', { SLINK_GONE: sample.codes.SLINK_GONE }), /belongs to sample/)
    assert.throws(() => defineErrors('sample', {}), /defined twice/)
    assert.throws(() => defineErrors('bad-name', { slinkGone: sample.codes.SLINK_GONE }), /upper snake case/)
    assert.throws(
      () => defineErrors('bad-text', { FULL_STOP: { ...sample.codes.SLINK_GONE, text: 'gone.' } }),
      /without a full stop/,
    )
    for (const { codes } of errorSlices()) {
      for (const info of Object.values(codes)) assert.doesNotMatch(`${info.text}${info.hint ?? ''}`, /[\n\r]|\{\}/)
    }
  })

  it('names the facts of a row', () => {
    assert.deepEqual(factNames(sample.codes.SLINK_BEHIND), ['slink', 'bytes'])
  })

  it('writes the section of a slice into the page: anew, or in the order of names', () => {
    const page = withErrorSection(withErrorSection('# Errors\n', sample), daemonErrors)
    assert.ok(page.indexOf('## daemon') < page.indexOf('## sample'))
    assert.equal(withErrorSection(page, sample), page)
    assert.equal(withErrorSection(page.replace('is behind', 'is ahead'), sample), page)
    assert.match(
      errorSection(sample),
      /### SLINK_BEHIND\n\n> slink `slink` is behind: `bytes` bytes\n\nIts entries[^\n]+\n\nNext: `PROGRAM` resync `slink`\n\nExit status 75/,
    )
  })

  it("is what the operator's page says (UPDATE=1 writes it)", () => {
    const url = new URL('../../../../docs/operating/errors.md', import.meta.url)
    const page = readFileSync(url, 'utf8')
    const wanted = withErrorSection(page, daemonErrors)
    if (process.env['UPDATE'] === '1') writeFileSync(url, wanted)
    else assert.equal(page, wanted)
  })
})

describe('an error on stderr', () => {
  it('says what, why and the next command', () => {
    assert.equal(
      formatError(sample.create('SLINK_BEHIND', { slink: 1, bytes: 7 }), 'sitelink'),
      'sitelink: slink 1 is behind: 7 bytes\n  try: sitelink resync 1\n',
    )
    assert.equal(formatError(sample.create('SLINK_GONE'), 'sitelink'), 'sitelink: gone\n')
  })

  it('is one line of JSON with --json', () => {
    const text = formatErrorJson(sample.create('SLINK_BEHIND', { slink: 1, bytes: 7 }), 'sitelink')
    assert.match(text, /^[^\n]+\n$/)
    assert.deepEqual(JSON.parse(text), {
      error: {
        code: 'SLINK_BEHIND',
        kind: 'operating',
        retry: true,
        exit: 75,
        message: 'slink 1 is behind: 7 bytes',
        hint: 'sitelink resync 1',
        facts: { slink: 1, bytes: 7 },
      },
    })
  })

  it('of a bug has its stack, and exit status 70', () => {
    const text = formatError(new TypeError('x is undefined'), 'sitelink')
    assert.match(
      text,
      /^sitelink: internal error: TypeError: x is undefined\n {2}try: report [^\n]+\nTypeError: x is undefined\n {4}at /,
    )
    assert.equal(JSON.parse(formatErrorJson('thrown text', 'sitelink')).error.exit, 70)
  })

  for (const [errno, code, exit] of [
    ['EACCES', 'SYSTEM_REFUSED', 77],
    ['ENOENT', 'SYSTEM_MISSING', 66],
    ['ENOSPC', 'SYSTEM_IO', 74],
    ['EMFILE', 'SYSTEM_FAILED', 71],
  ] as const) {
    it(`of the system with ${errno} is ${code} and ends with ${exit}`, () => {
      const number = { EACCES: -13, ENOENT: -2, ENOSPC: -28, EMFILE: -24 }[errno]
      const thrown = Object.assign(new Error(`${errno}: ..., open '/x'`), {
        code: errno,
        errno: number,
        syscall: 'open',
        path: '/x',
      })
      const error = systemError(thrown)
      assert.equal(error?.code, code)
      assert.equal(error?.exit, exit)
      assert.equal(error?.message, `/x: ${whyOf(thrown)}`)
    })
  }
})
