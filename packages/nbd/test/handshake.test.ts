import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Info, Option, OptionReply } from '../src/constants.js'
import { Handshake, type HandshakeOutcome } from '../src/handshake.js'
import { type ExportDirectory, MemoryExport } from '../src/index.js'
import { defaultLimits, type NbdLimits, resolveLimits } from '../src/limits.js'
import { chunksOf, counted, directoryOf, encodeOption, hex, Prng, u16, u32 } from './support.js'

const FIXED = u32(1)
const FIXED_NO_ZEROES = u32(3)
const GREETING = hex('4e42444d41474943 49484156454f5054 0003')

const disk = new MemoryExport({ name: 'disk', description: 'a disk', sizeBytes: 0x123000, minimumBlockBytes: 512 })
const fallback = new MemoryExport({ name: '', sizeBytes: 4096, canMultiConnection: false })
const archive = new MemoryExport({ name: 'archive', sizeBytes: 8192, readOnly: true })
const exports = directoryOf(fallback, disk, archive)
const directory: ExportDirectory = {
  list: () => exports.list(),
  find: (name) => (name === 'gone' ? { unavailable: 'its device has failed' } : exports.find(name)),
}

interface Talk {
  readonly replies: Buffer
  readonly outcome: HandshakeOutcome
}

function talk(limits: Partial<NbdLimits>, ...said: readonly Buffer[]): Talk {
  const handshake = new Handshake(directory, resolveLimits(limits))
  const replies: Buffer[] = []
  let outcome: HandshakeOutcome = { kind: 'more' }
  for (const chunk of said) {
    if (outcome.kind !== 'more') break
    const step = handshake.push(chunk)
    replies.push(...step.replies)
    outcome = step.outcome
  }
  return { replies: Buffer.concat(replies), outcome }
}

interface Reply {
  readonly option: number
  readonly type: number
  readonly data: Buffer
}

function decode(bytes: Buffer): Reply[] {
  const replies: Reply[] = []
  for (let at = 0; at < bytes.length;) {
    assert.equal(bytes.subarray(at, at + 8).toString('hex'), '0003e889045565a9')
    const length = bytes.readUInt32BE(at + 16)
    const data = bytes.subarray(at + 20, at + 20 + length)
    assert.equal(data.length, length)
    replies.push({ option: bytes.readUInt32BE(at + 8), type: bytes.readUInt32BE(at + 12), data })
    at += 20 + length
  }
  return replies
}

const types = (talked: Talk): number[] => decode(talked.replies).map((reply) => reply.type)

const infoRequest = (name: string, ...wanted: readonly number[]): Buffer =>
  Buffer.concat([counted(name), u16(wanted.length), ...wanted.map(u16)])
const metaRequest = (name: string, ...queries: readonly string[]): Buffer =>
  Buffer.concat([counted(name), u32(queries.length), ...queries.map(counted)])

test('the greeting is fixed newstyle without zeroes', () => {
  assert.deepEqual(new Handshake(directory, defaultLimits).greeting(), GREETING)
})

test('the golden bytes of a whole negotiation stay as they are', () => {
  const said = Buffer.concat([
    FIXED_NO_ZEROES,
    encodeOption(Option.STRUCTURED_REPLY),
    encodeOption(Option.SET_META_CONTEXT, metaRequest('disk', 'base:allocation')),
    encodeOption(Option.GO, infoRequest('disk', Info.NAME, Info.DESCRIPTION, Info.BLOCK_SIZE)),
    Buffer.from('rest'),
  ])
  const { replies, outcome } = talk({}, said)
  assert.equal(
    replies.toString('hex'),
    [
      // ACK of structured replies; the context and its ACK
      '0003e889045565a9 00000008 00000001 00000000',
      `0003e889045565a9 0000000a 00000004 00000013 00000001 ${Buffer.from('base:allocation').toString('hex')}`,
      '0003e889045565a9 0000000a 00000001 00000000',
      // EXPORT, NAME, DESCRIPTION, BLOCK_SIZE, ACK
      '0003e889045565a9 00000007 00000003 0000000c 0000 0000000000123000 0ded',
      '0003e889045565a9 00000007 00000003 00000006 0001 6469736b',
      '0003e889045565a9 00000007 00000003 00000008 0002 61206469736b',
      '0003e889045565a9 00000007 00000003 0000000e 0003 00000200 00001000 02000000',
      '0003e889045565a9 00000007 00000001 00000000',
    ]
      .join('')
      .replaceAll(' ', ''),
  )
  assert.ok(outcome.kind === 'transmission')
  assert.equal(outcome.rest.toString(), 'rest')
  assert.equal(outcome.session.export, disk)
  assert.equal(outcome.session.structured, true)
  assert.equal(outcome.session.allocationContext, true)
})

test('EXPORT_NAME answers with size and flags, and with zeroes unless both sides leave them out', () => {
  const padded = talk({}, FIXED, encodeOption(Option.EXPORT_NAME))
  assert.equal(padded.replies.toString('hex'), `00000000000010000c6d${'00'.repeat(124)}`)
  assert.equal(padded.outcome.kind, 'transmission')
  const bare = talk({}, FIXED_NO_ZEROES, encodeOption(Option.EXPORT_NAME, Buffer.from('archive')))
  assert.equal(bare.replies.toString('hex'), '0000000000002000050f')
})

test('without fixed newstyle only EXPORT_NAME is understood', () => {
  assert.equal(talk({}, u32(0), encodeOption(Option.EXPORT_NAME)).outcome.kind, 'transmission')
  const other = talk({}, u32(0), encodeOption(Option.LIST))
  assert.deepEqual(other.outcome, {
    kind: 'refused',
    reason: 'the client sent an option of fixed newstyle without having agreed to it',
  })
})

test('LIST names every export with its description', () => {
  const talked = talk({}, FIXED, encodeOption(Option.LIST))
  const replies = decode(talked.replies)
  assert.deepEqual(
    replies.map((reply) => reply.type),
    [OptionReply.SERVER, OptionReply.SERVER, OptionReply.SERVER, OptionReply.ACK],
  )
  assert.deepEqual(replies[1]?.data, Buffer.concat([counted('disk'), Buffer.from('a disk')]))
  assert.equal(talked.outcome.kind, 'more')
})

test('INFO tells what GO would, and leaves the client in the negotiation', () => {
  const wanted = infoRequest('disk', Info.BLOCK_SIZE)
  const info = talk({}, FIXED, encodeOption(Option.INFO, wanted))
  const go = talk({}, FIXED, encodeOption(Option.GO, wanted))
  assert.deepEqual(
    decode(info.replies).map((reply) => reply.data),
    decode(go.replies).map((reply) => reply.data),
  )
  assert.equal(info.outcome.kind, 'more')
  assert.equal(go.outcome.kind, 'transmission')
})

test('DF is offered only with structured replies', () => {
  const flags = (...said: readonly Buffer[]): number => {
    const first = decode(talk({}, FIXED, ...said, encodeOption(Option.GO, infoRequest(''))).replies).find(
      (reply) => reply.type === OptionReply.INFO,
    )
    return first?.data.readUInt16BE(10) ?? -1
  }
  assert.equal(flags() & 0x80, 0)
  assert.equal(flags(encodeOption(Option.STRUCTURED_REPLY)) & 0x80, 0x80)
})

test('a context counts only for the export that it was selected for', () => {
  const select = (name: string, ...queries: readonly string[]): Buffer =>
    encodeOption(Option.SET_META_CONTEXT, metaRequest(name, ...queries))
  const selected = (...said: readonly Buffer[]): boolean => {
    const { outcome } = talk(
      {},
      FIXED,
      encodeOption(Option.STRUCTURED_REPLY),
      ...said,
      encodeOption(Option.GO, infoRequest('disk')),
    )
    assert.ok(outcome.kind === 'transmission')
    return outcome.session.allocationContext
  }
  assert.equal(selected(select('disk', 'base:allocation')), true)
  assert.equal(selected(select('archive', 'base:allocation')), false)
  assert.equal(selected(select('disk', 'base:')), false)
  assert.equal(selected(select('disk', 'qemu:dirty-bitmap:x', 'base:allocation')), true)
  assert.equal(selected(select('disk', 'base:allocation'), select('disk')), false)
  assert.equal(selected(select('disk', 'base:allocation'), select('none', 'base:allocation')), false)
})

test('LIST_META_CONTEXT lists the context for no query, its namespace and its name', () => {
  const listed = (...queries: readonly string[]): number[] =>
    types(
      talk(
        {},
        FIXED,
        encodeOption(Option.STRUCTURED_REPLY),
        encodeOption(Option.LIST_META_CONTEXT, metaRequest('disk', ...queries)),
      ),
    )
  const found = [OptionReply.ACK, OptionReply.META_CONTEXT, OptionReply.ACK]
  assert.deepEqual(listed(), found)
  assert.deepEqual(listed('base:'), found)
  assert.deepEqual(listed('base:allocation', 'base:'), found)
  assert.deepEqual(listed('qemu:'), [OptionReply.ACK, OptionReply.ACK])
})

const structured = encodeOption(Option.STRUCTURED_REPLY)
const refusedOptions: readonly [claim: string, said: readonly Buffer[], type: number][] = [
  ['an unknown option', [encodeOption(4711, Buffer.from('data'))], OptionReply.ERR_UNSUP],
  ['STARTTLS', [encodeOption(Option.STARTTLS)], OptionReply.ERR_UNSUP],
  ['PEEK_EXPORT', [encodeOption(Option.PEEK_EXPORT)], OptionReply.ERR_UNSUP],
  ['extended headers', [encodeOption(Option.EXTENDED_HEADERS)], OptionReply.ERR_UNSUP],
  ['LIST with data', [encodeOption(Option.LIST, Buffer.from('x'))], OptionReply.ERR_INVALID],
  ['STRUCTURED_REPLY with data', [encodeOption(Option.STRUCTURED_REPLY, Buffer.from('x'))], OptionReply.ERR_INVALID],
  ['STRUCTURED_REPLY for the second time', [structured, structured], OptionReply.ERR_INVALID],
  ['GO for an export that does not exist', [encodeOption(Option.GO, infoRequest('none'))], OptionReply.ERR_UNKNOWN],
  ['GO for an export that is not available', [encodeOption(Option.GO, infoRequest('gone'))], OptionReply.ERR_UNKNOWN],
  ['GO without data', [encodeOption(Option.GO)], OptionReply.ERR_INVALID],
  ['GO with a name beyond its data', [encodeOption(Option.GO, hex('00000005 6162 0000'))], OptionReply.ERR_INVALID],
  ['GO with a count beyond its data', [encodeOption(Option.GO, hex('00000000 0002 0000'))], OptionReply.ERR_INVALID],
  ['GO with bytes left over', [encodeOption(Option.GO, hex('00000000 0000 00'))], OptionReply.ERR_INVALID],
  ['GO with a name that is not UTF-8', [encodeOption(Option.GO, hex('00000001 ff 0000'))], OptionReply.ERR_INVALID],
  ['GO with a NUL in the name', [encodeOption(Option.GO, hex('00000001 00 0000'))], OptionReply.ERR_INVALID],
  ['GO with a name over 4096 bytes', [encodeOption(Option.GO, infoRequest('n'.repeat(4097)))], OptionReply.ERR_INVALID],
  [
    'a context before structured replies',
    [encodeOption(Option.SET_META_CONTEXT, metaRequest('disk', 'base:allocation'))],
    OptionReply.ERR_INVALID,
  ],
  [
    'a query beyond its data',
    [structured, encodeOption(Option.SET_META_CONTEXT, hex('00000000 00000001 00000009 62'))],
    OptionReply.ERR_INVALID,
  ],
  [
    'more queries than there are bytes for',
    [structured, encodeOption(Option.LIST_META_CONTEXT, hex('00000000 ffffffff'))],
    OptionReply.ERR_INVALID,
  ],
  [
    'too many queries',
    [structured, encodeOption(Option.LIST_META_CONTEXT, metaRequest('disk', ...Array<string>(65).fill('base:')))],
    OptionReply.ERR_TOO_BIG,
  ],
  [
    'contexts of an export that does not exist',
    [structured, encodeOption(Option.LIST_META_CONTEXT, metaRequest('none'))],
    OptionReply.ERR_UNKNOWN,
  ],
  ['more data than an option may have', [encodeOption(4711, Buffer.alloc(16 * 1024 + 1))], OptionReply.ERR_TOO_BIG],
]

for (const [claim, said, type] of refusedOptions) {
  test(`${claim} is refused with a sentence, and the negotiation goes on`, () => {
    const talked = talk({}, FIXED, ...said, encodeOption(Option.GO, infoRequest('disk')))
    const replies = decode(talked.replies)
    const refused = replies.find((reply) => reply.type >= 0x8000_0000)
    assert.equal(refused?.type, type)
    assert.ok(refused.data.length > 0 && refused.data.length < 256)
    assert.equal(talked.outcome.kind, 'transmission')
  })
}

const closings: readonly [claim: string, limits: Partial<NbdLimits>, said: readonly Buffer[], reason: RegExp][] = [
  ['unknown handshake flags', {}, [u32(4)], /unknown handshake flags \(0x4\)/],
  ['an option without its magic', {}, [FIXED, Buffer.alloc(16)], /magic/],
  ['EXPORT_NAME for nothing', {}, [FIXED, encodeOption(1, Buffer.from('none'))], /"none" does not exist/],
  ['EXPORT_NAME for what is not available', {}, [FIXED, encodeOption(1, Buffer.from('gone'))], /device has failed/],
  ['EXPORT_NAME that is not UTF-8', {}, [FIXED, encodeOption(1, hex('ff'))], /valid string/],
  ['an endless EXPORT_NAME', {}, [FIXED, encodeOption(1, Buffer.alloc(0), 1 << 20)], /announces 1048576 bytes/],
  ['an option of 4 GiB', {}, [FIXED, encodeOption(6, Buffer.alloc(0), 2 ** 32 - 1)], /announces 4294967295 bytes/],
  ['too many options', { optionCountMax: 3 }, Array<Buffer>(4).fill(encodeOption(3)), /more than 3 options/],
  [
    'too many bytes of options',
    { handshakeBytesMax: 64 * 1024 },
    Array<Buffer>(5).fill(encodeOption(99, Buffer.alloc(16_000))),
    /more than 65536 bytes of options/,
  ],
  [
    'too many bytes of replies',
    { handshakeReplyBytesMax: 200 },
    [encodeOption(3), encodeOption(3), encodeOption(3)],
    /more than 200 bytes of option replies/,
  ],
]

for (const [claim, limits, said, reason] of closings) {
  test(`${claim} closes the connection with a reason`, () => {
    const flags = said[0]?.length === 4 ? [] : [FIXED]
    const { outcome } = talk(limits, ...flags, ...said)
    assert.ok(outcome.kind === 'refused')
    assert.match(outcome.reason, reason)
  })
}

test('ABORT is acknowledged, whatever it carries', () => {
  const talked = talk({}, FIXED, encodeOption(Option.ABORT, Buffer.from('bye')))
  assert.deepEqual(types(talked), [OptionReply.ACK])
  assert.equal(talked.outcome.kind, 'aborted')
})

test('a name in a refusal is escaped and cut to a line', () => {
  const talked = talk({}, FIXED, encodeOption(Option.GO, infoRequest(`a\n${'b'.repeat(4000)}`)))
  const sentence = decode(talked.replies)[0]?.data.toString() ?? ''
  assert.ok(sentence.length < 120)
  assert.match(sentence, /"a\\nb/)
})

test('a negotiation means the same however it is cut into chunks', () => {
  const prng = new Prng('handshake chunks')
  const said = Buffer.concat([
    FIXED_NO_ZEROES,
    encodeOption(Option.LIST),
    encodeOption(77, Buffer.alloc(20_000)),
    structured,
    encodeOption(Option.SET_META_CONTEXT, metaRequest('disk', 'base:allocation')),
    encodeOption(Option.GO, infoRequest('disk', Info.NAME)),
  ])
  const whole = talk({}, said)
  assert.equal(whole.outcome.kind, 'transmission')
  assert.deepEqual(talk({}, ...chunksOf(said, () => 1)), whole)
  for (let round = 0; round < 50; round++) {
    assert.deepEqual(talk({}, ...chunksOf(said, () => prng.between(1, 100))), whole)
  }
})

test('no bytes make the negotiation throw, or keep it from ending', () => {
  const prng = new Prng('handshake fuzz')
  const limits: Partial<NbdLimits> = { optionCountMax: 20, handshakeBytesMax: 70_000 }
  for (let round = 0; round < 2000; round++) {
    const handshake = new Handshake(directory, resolveLimits(limits))
    let outcome: HandshakeOutcome = handshake.push(FIXED).outcome
    for (let count = 0; count < 30 && outcome.kind === 'more'; count++) {
      const data = prng.pick([
        () => prng.bytes(prng.between(0, 40)),
        () => infoRequest(prng.pick(['disk', '', 'none']), prng.between(0, 4)),
        () => metaRequest(prng.pick(['disk', '', 'none']), prng.pick(['base:', 'base:allocation', 'x'])),
      ])()
      if (prng.next() < 0.3 && data.length > 0) data[prng.between(0, data.length - 1)] = prng.between(0, 255)
      const option = encodeOption(prng.between(0, 12), data)
      if (prng.next() < 0.02) option[prng.between(0, 15)] = prng.between(0, 255)
      const step = handshake.push(option)
      if (step.outcome.kind !== 'transmission') decode(Buffer.concat(step.replies))
      outcome = step.outcome
    }
    // Twenty options at most: either it is over, or it waits for the rest of an option that was announced.
    if (outcome.kind === 'more') outcome = handshake.push(Buffer.alloc(70_001)).outcome
    assert.notEqual(outcome.kind, 'more')
  }
})
