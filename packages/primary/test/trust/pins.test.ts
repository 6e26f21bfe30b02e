/**
 * Which agents a primary trusts, and how it may be told to reach them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '@sitelink/daemon'
import { encodeToken, type Clock, type Random, type TlsIdentity } from '@sitelink/protocol'
import type { Step } from '../../src/admin/steps.js'
import type { GroupConfig } from '../../src/config.js'
import type { GroupEvent } from '../../src/group/events.js'
import { AgentLinks } from '../../src/trust/agent-links.js'
import { planLink, refuseLinks, wordsOf, type LinkWish } from '../../src/trust/link-plan.js'
import { judgePin, movedPin, NO_PINS, pinsFormat, withoutPin, withPin, type Pins } from '../../src/trust/pins.js'

const [A, B, C] = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string]
const PINNED = withPin(NO_PINS, 1, { fingerprint: A, enrolledMs: 5 })
const TOKEN = encodeToken({ id: '0'.repeat(16), secret: Buffer.alloc(16), fingerprint: A, addresses: ['tls://h:1'] })
const none: LinkWish = { invitation: null, insecurePlain: false, dialedBy: null }

test('an agent is the key that is pinned for its slink, or one that succeeds it', () => {
  assert.deepEqual(judgePin(PINNED, 1, [A]), { kind: 'known', moves: false })
  assert.deepEqual(judgePin(PINNED, 1, [B, A]), { kind: 'known', moves: true })
  for (const [slink, keys, says] of [
    [1, [B], /not the one that is pinned for slink 1: a{16}$/],
    [1, [], /not the one/],
    [2, [A], /none is pinned for slink 2/],
  ] as const) {
    const judged = judgePin(PINNED, slink, keys)
    assert.ok(judged.kind === 'refused' && says.test(judged.why), JSON.stringify(judged))
  }
  const moved = movedPin(PINNED, 1, A, B)
  assert.equal(judgePin(moved, 1, [A]).kind, 'refused')
  assert.equal(judgePin(moved, 1, [C, A]).kind, 'refused')
  assert.deepEqual(movedPin(moved, 1, A, C), moved, 'it has moved already')
  assert.deepEqual(withoutPin(PINNED, 1), NO_PINS)
})

test('no slink is reached plainly unasked, both ways at once, or over TLS without a pin', () => {
  const plan = (addresses: readonly string[], wish: Partial<LinkWish>, pinned = false) =>
    planLink(addresses, { ...none, ...wish }, { slink: 1, pinned })
  assert.deepEqual(plan([], { invitation: TOKEN }).addresses, ['tls://h:1'])
  assert.deepEqual(plan(['tls://other:2'], { invitation: TOKEN }).addresses, ['tls://other:2'])
  assert.equal(plan(['tls://h:1'], {}, true).invitation, null)
  assert.deepEqual(plan(['tcp://h:1'], { insecurePlain: true }).addresses, ['tcp://h:1'])
  for (const [code, run] of [
    ['LINK_PLAIN', () => plan(['tcp://h:1'], {})],
    ['LINK_PLAIN', () => plan(['tcp://h:1'], {}, true)],
    ['LINK_UNKNOWN', () => plan(['tls://h:1'], {})],
    ['LINK_UNKNOWN', () => plan(['tls://h:1'], { insecurePlain: true })],
    ['LINK_MIXED', () => plan(['tls://h:1', 'tcp://h:1'], { insecurePlain: true }, true)],
    ['LINK_MIXED', () => plan(['tcp://h:1'], { insecurePlain: true, invitation: TOKEN })],
    ['TOKEN_INVALID', () => plan([], { invitation: `${TOKEN}x` })],
    ['TOKEN_INVALID', () => wordsOf([TOKEN, TOKEN])],
  ] as const)
    assert.throws(run, { code })
  assert.deepEqual(wordsOf(['tls://h:1', TOKEN]), { addresses: ['tls://h:1'], invitation: TOKEN })
})

test('an agent that dials is pinned by its fingerprint, and is not dialled as well', () => {
  const plan = (addresses: readonly string[], wish: Partial<LinkWish>, pinned = false) =>
    planLink(addresses, { ...none, ...wish }, { slink: 1, pinned })
  assert.deepEqual(plan([], { dialedBy: B }), { addresses: ['dials-in'], invitation: null, pin: B })
  assert.deepEqual(plan(['dials-in'], {}, true), { addresses: ['dials-in'], invitation: null, pin: null })
  for (const [code, run] of [
    ['LINK_UNKNOWN', () => plan(['dials-in'], {})],
    ['SLINK_POLICY', () => plan(['tls://h:1'], { dialedBy: B })],
    ['SLINK_POLICY', () => plan(['tls://h:1', 'dials-in'], {}, true)],
    ['SLINK_POLICY', () => plan([], { dialedBy: B, invitation: TOKEN })],
    ['SLINK_POLICY', () => plan([], { dialedBy: 'b'.repeat(63) })],
  ] as const)
    assert.throws(run, { code })
  assert.deepEqual(wordsOf(['tls://a:1,tls://b:2', 'tls://c:3']).addresses, ['tls://a:1', 'tls://b:2', 'tls://c:3'])
})

test('tables and messages reach nobody in a way that was not asked for, and leave what is there as it is', () => {
  const add = (...addresses: string[]): Step => ({ kind: 'add-slink', wish: { number: 1, addresses, mode: 'async' } })
  const change = (...addresses: string[]): Step => ({ kind: 'change-slink', slink: 1, change: { addresses } })
  const config = { slinks: [{ number: 1, addresses: ['tcp://h:1'] }] as unknown as GroupConfig['slinks'] }
  const refused = (step: Step, pins: Pins, plain = false): string | null => {
    try {
      refuseLinks([step], config, pins, plain)
      return null
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  assert.equal(refused(add('tcp://h:2'), NO_PINS), 'LINK_PLAIN')
  assert.equal(refused(add('tcp://h:2'), NO_PINS, true), null)
  assert.equal(refused(add('tls://h:2'), PINNED), 'LINK_UNKNOWN', 'a pin that was left behind is nobody’s')
  assert.equal(refused(change('tcp://h:2'), PINNED), 'LINK_PLAIN')
  assert.equal(refused(change('tcp://h:1'), NO_PINS), null)
  assert.equal(refused(change('tls://h:2'), PINNED), null)
  assert.equal(refused(change('tls://h:2'), NO_PINS), 'LINK_UNKNOWN')
  assert.equal(refused({ kind: 'change-slink', slink: 1, change: { paused: true } }, NO_PINS), null)
})

test('a file of pins is taken whole or not at all', () => {
  assert.deepEqual(parseConfig('trust.json', pinsFormat, JSON.stringify({ version: 1, ...PINNED })), PINNED)
  for (const bad of [
    { pins: { 0: { fingerprint: A, enrolledMs: 1 } } },
    { pins: { 2048: { fingerprint: A, enrolledMs: 1 } } },
    { pins: { 1: { fingerprint: 'short', enrolledMs: 1 } } },
    { pins: { 1: { fingerprint: A, enrolledMs: -1 } } },
    { pins: { 1: { fingerprint: A, enrolledMs: 1, more: 1 } } },
    { pins: [] },
    { pins: {}, more: 1 },
  ])
    assert.throws(() => parseConfig('trust.json', pinsFormat, JSON.stringify({ version: 1, ...bad })), {
      code: 'CONFIG_INVALID',
    })
})

function links(first: Pins, meanwhile = (current: Pins): Pins => current) {
  const events: GroupEvent[] = []
  const pins = {
    current: first,
    async update(change: (current: Pins) => Pins) {
      this.current = change(meanwhile(this.current))
    },
  }
  const current: TlsIdentity = { key: '', certificates: '', fingerprint: C }
  const identity = { current, rotate: async () => current }
  return {
    links: new AgentLinks({
      clock: {} as Clock,
      random: {} as Random,
      pins,
      identity,
      event: (one) => events.push(one),
    }),
    pins,
    events,
  }
}

test('a wish that is no good uses up no invitation, and a pin that a deleted slink left behind is nobody’s', async () => {
  const made = links(PINNED)
  const check = (): never => {
    throw new Error('the slink is there already')
  }
  await assert.rejects(made.links.prepare(1, [], { ...none, invitation: TOKEN }, { isNew: true, check }), /already/)
  const fine = { isNew: true, check: () => {} }
  await assert.rejects(made.links.prepare(1, ['tls://h:1'], none, fine), { code: 'LINK_UNKNOWN' })
  await made.links.prepare(1, ['tcp://h:1'], { ...none, insecurePlain: true }, fine)
  assert.deepEqual(made.pins.current, NO_PINS)
})

test('a pin that is revoked is gone and told of, and revoked only once', async () => {
  const made = links(PINNED)
  await made.links.revoke(1)
  assert.deepEqual(made.pins.current, NO_PINS)
  assert.equal(made.events[0]?.kind, 'peer-revoked')
  await assert.rejects(made.links.revoke(1), { code: 'PEER_UNKNOWN' })
})

test('a pin that moves to another key while it is revoked is revoked with the key that it has by then', async () => {
  // A rotation is stored before.
  const made = links(PINNED, (current) => movedPin(current, 1, A, B))
  assert.equal((await made.links.revoke(1)).fingerprint, B)
  assert.deepEqual(made.pins.current, NO_PINS)
  assert.equal(made.events[0]?.facts?.['fingerprint'], B)
})
