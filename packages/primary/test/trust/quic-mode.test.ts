/**
 * `--quic` of a slink: refused where it cannot be kept or says nothing, before anything is used up; and what older
 * configurations come to.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '@sitelink/daemon'
import { HTTP3_PACKAGE, type Clock, type LoadHttp3, type Random, type TlsIdentity } from '@sitelink/protocol'
import { configFormat } from '../../src/cli/open-state.js'
import type { GroupConfig, SlinkConfig } from '../../src/config.js'
import { LINK_TERMS_DEFAULT } from '../../src/slink/link-terms.js'
import { AgentLinks } from '../../src/trust/agent-links.js'
import type { Pins } from '../../src/trust/pins.js'
import { addedSlink, changedSlink } from '../../src/trust/slink-wishes.js'

const A = 'a'.repeat(64)
const own: TlsIdentity = { key: '', certificates: '', fingerprint: 'c'.repeat(64) }

const missing: LoadHttp3 = async () => {
  throw Object.assign(new Error(`Cannot find module '${HTTP3_PACKAGE}'`), { code: 'MODULE_NOT_FOUND' })
}
const there: LoadHttp3 = async () => ({ Http3Server: class {}, WebTransport: class {} }) as never

function links(loadHttp3: LoadHttp3): AgentLinks {
  const current: Pins = { pins: { 1: { fingerprint: A, enrolledMs: 1 } } } as unknown as Pins
  return new AgentLinks({
    clock: { after: () => ({ cancel: () => {} }) } as unknown as Clock,
    random: {} as Random,
    identity: { current: own, rotate: async () => assert.fail('nothing is rotated') },
    pins: { current, update: async () => assert.fail('nothing is pinned') },
    event: () => {},
    loadHttp3,
  })
}

const slink: SlinkConfig = {
  number: 1,
  name: null,
  addresses: ['https://agent:7373'],
  mode: 'async',
  ack: 'received',
  overflow: 'drop',
  holdMs: null,
  fallBehind: { ios: 0, bytes: 0, timeoutMs: 0 },
  ...LINK_TERMS_DEFAULT,
  paused: false,
  mappings: [],
}

function group(...slinks: SlinkConfig[]): GroupConfig {
  return {
    uuid: '01234567-89ab-cdef-0123-456789abcdef',
    epoch: 1,
    log: { path: '/log', startBytes: 0 },
    nextDeviceId: 1,
    devices: [],
    local: { mode: 'sync' },
    slinks,
    nbd: { listen: null },
  }
}

test('require is refused where the library cannot be had, with what is missing and what to say instead', async () => {
  for (const body of [
    { slink: 1, quic: 'require' },
    { slink: 1, quic: 'require', addresses: ['https://other:7373'] },
  ])
    await assert.rejects(
      changedSlink(links(missing), group(slink), body),
      (error: { code: string; message: string }) => {
        assert.equal(error.code, 'LINK_HTTP3')
        assert.match(error.message, /^https:\/\/\w+:7373 is to go over HTTP\/3 .* is not installed$/)
        return true
      },
    )
  const { change } = await changedSlink(links(there), group(slink), { slink: 1, quic: 'require' })
  assert.deepEqual(change, { quic: 'require' })
})

test('auto and never need no library', async () => {
  for (const quic of ['auto', 'never'] as const)
    assert.deepEqual((await changedSlink(links(missing), group(slink), { slink: 1, quic })).change, { quic })
})

test('a mode that says nothing is refused, and a word that is none', async () => {
  const over = group({ ...slink, addresses: ['tls://agent:7373'] })
  await assert.rejects(changedSlink(links(there), over, { slink: 1, quic: 'never' }), { code: 'LINK_QUIC_IDLE' })
  const body = { slink: 2, addresses: ['tcp://agent:7373'], insecurePlain: true, quic: 'require' }
  await assert.rejects(addedSlink(links(there), over, body), { code: 'LINK_QUIC_IDLE' })
  await assert.rejects(changedSlink(links(there), over, { slink: 1, quic: 'maybe' }), {
    code: 'CONTROL_REQUEST_INVALID',
  })
})

test('a configuration of an older version prefers HTTP/3, and keeps all else', () => {
  const { quic: _quic, ...older } = slink
  const text = JSON.stringify({ version: 2, ...group(), slinks: [older] })
  assert.deepEqual(parseConfig('config.json', configFormat, text), group(slink))
})
