/** Addresses: what is read, what is printed, and which part a refusal names. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  formatAddress,
  MemoryNetwork,
  parseAddress,
  parseHostAddress,
  ProtocolError,
  protocolErrorCodes,
  TransportRegistry,
} from '../../src/index.js'
import { SimClock } from '../support/clock.js'
import { SeededRandom } from '../support/random.js'

test('addresses of every form are read and printed back', () => {
  const good: [string, object][] = [
    ['tcp://host:1', { scheme: 'tcp', host: 'host', port: 1 }],
    ['tcp://agent-1.site_b.example.:7373', { scheme: 'tcp', host: 'agent-1.site_b.example.', port: 7373 }],
    ['tcp://10.0.0.1:65535', { scheme: 'tcp', host: '10.0.0.1', port: 65535 }],
    ['tcp://[::1]:0', { scheme: 'tcp', host: '::1', port: 0 }],
    ['tcp://[fe80::1:2]:7373', { scheme: 'tcp', host: 'fe80::1:2', port: 7373 }],
    ['tls://host:443', { scheme: 'tls', host: 'host', port: 443 }],
    ['memory:agent.1', { scheme: 'memory', name: 'agent.1' }],
  ]
  for (const [text, parsed] of good) {
    assert.deepEqual(parseAddress(text), parsed)
    assert.equal(formatAddress(parseAddress(text)), text)
  }
})

test('a refusal names the part that is wrong', () => {
  const bad: [string, RegExp][] = [
    ['', /does not begin with a scheme/],
    ['host:1', /"\/\/" is missing/],
    ['tcp:host:1', /"\/\/" is missing behind "tcp:"/],
    ['TCP://host:1', /does not begin with a scheme/],
    ['tcp://host', /the port is missing/],
    ['tcp://host:', /the port is missing/],
    ['tcp://:1', /the host is missing/],
    ['tcp://host:65536', /"65536" is not a port/],
    ['tcp://host:-1', /"-1" is not a port/],
    ['tcp://host:1x', /"1x" is not a port/],
    ['tcp://ho st:1', /"ho st" is not a host name/],
    ['tcp://-host:1', /"-host" is not a host name/],
    ['tcp://256.0.0.1:1', /"256.0.0.1" is not an IPv4 address/],
    ['tcp://1.2.3:1', /is not an IPv4 address/],
    ['tcp://::1:7373', /an IPv6 address needs brackets/],
    ['tcp://[::g]:1', /"::g" is not an IPv6 address/],
    ['tcp://[1.2.3.4]:1', /is not an IPv6 address/],
    ['tcp://[::1]', /the port is missing/],
    ['tcp://a:1/path', /"1\/path" is not a port/],
    ['memory:', /is not a name/],
    ['memory:a b', /"a b" is not a name/],
    [`memory:${'x'.repeat(129)}`, /is not a name/],
  ]
  for (const [text, why] of bad) {
    assert.throws(
      () => parseAddress(text),
      (error: unknown) => {
        assert.ok(error instanceof ProtocolError)
        assert.equal(error.code, 'ADDRESS_INVALID')
        assert.match(error.message, why, text)
        return true
      },
    )
  }
  assert.throws(() => parseHostAddress('memory:a'), /a host and a port are needed/)
})

test('the registry finds the transport of a scheme and names those it has', async () => {
  const network = new MemoryNetwork({ clock: new SimClock(), random: new SeededRandom(1) })
  const registry = new TransportRegistry([network.host('a')])
  assert.equal(registry.of('memory:x').scheme, 'memory')
  assert.deepEqual(registry.schemes, ['memory'])
  assert.throws(() => registry.of('wt://h:1'), /names the transport "wt".*use one of memory/)
  await assert.rejects(registry.dial('wt://h:1', { timeoutMs: 1 }), { code: 'SCHEME_UNKNOWN' })
  assert.equal((await registry.listen('memory:x', () => {})).address, 'memory:x')
  assert.throws(() => registry.add(network.host('b')), /registered once/)
})

test('every error code says its facts', () => {
  for (const code of Object.keys(protocolErrorCodes) as (keyof typeof protocolErrorCodes)[]) {
    const names = [...protocolErrorCodes[code].text.matchAll(/\{(\w+)\}/g)].map((found) => found[1] as string)
    const error = new ProtocolError(code, Object.fromEntries(names.map((name) => [name, `<${name}>`])))
    for (const name of names) assert.ok(error.message.includes(`<${name}>`), error.message)
    assert.equal(error.retry, protocolErrorCodes[code].retry)
  }
})
