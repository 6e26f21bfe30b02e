/** A carrier that is not to be had is left out and said, or a failure where nothing may be left out. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { anyCarrier, carriersHere, SCHEMES, type LinkScheme } from './carriers.js'

const withoutQuic = (scheme: LinkScheme): string | null => (scheme === 'quic' ? 'it does not load' : null)

function set(t: TestContext, name: string, value: string): void {
  const before = process.env[name]
  process.env[name] = value
  t.after(() => {
    if (before === undefined) delete process.env[name]
    else process.env[name] = before
  })
}

test('what does not load is left out, and said', (t) => {
  set(t, 'SITELINK_REQUIRE_CLIENTS', '0')
  const said: string[] = []
  assert.deepEqual(
    carriersHere(SCHEMES, (line) => said.push(line), withoutQuic),
    ['tcp', 'tls', 'https'],
  )
  assert.deepEqual(said, ['without quic: it does not load'])
  assert.throws(() => carriersHere(['quic'], () => {}, withoutQuic), /nothing can be had of quic/)
})

test('where nothing may be left out it is a failure', (t) => {
  set(t, 'SITELINK_REQUIRE_CLIENTS', '1')
  assert.throws(
    () => carriersHere(SCHEMES, () => {}, withoutQuic),
    /quic: it does not load, and SITELINK_REQUIRE_CLIENTS asks for it/,
  )
})

test('a carrier that is named is taken, and what is drawn follows from the seed', (t) => {
  set(t, 'SITELINK_OVER', 'https')
  assert.equal(anyCarrier('named'), 'https')
  set(t, 'SITELINK_OVER', '')
  set(t, 'SEED', 'one')
  assert.equal(anyCarrier('drawn'), anyCarrier('drawn'))
  set(t, 'SITELINK_OVER', 'pigeon')
  assert.throws(() => anyCarrier('named'), /nothing can be had/)
})
