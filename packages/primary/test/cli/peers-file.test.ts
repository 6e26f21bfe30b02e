/** The file of the peers: what it may hold is said, and what it may not is a wrong configuration, not a bug. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '@sitelink/daemon'
import { peersFormat } from '../../src/cli/open-state.js'

const parse = (peers: unknown): unknown => parseConfig('peers.json', peersFormat, JSON.stringify({ version: 1, peers }))

test('a peers file that cannot be is refused with the key that is wrong', () => {
  const peer = { agent: '0123456789abcdef', journal: 'fedcba9876543210' }
  assert.deepEqual(parse({ 1: peer }), { peers: { 1: peer } })
  assert.deepEqual(parse({}), { peers: {} })
  const startsOver = { ...peer, journal: '' }
  assert.deepEqual(
    parse({ 1: startsOver }),
    { peers: { 1: startsOver } },
    'an agent that starts over has no journal yet',
  )
  const wrong: readonly (readonly [peers: unknown, key: string])[] = [
    [null, 'peers'],
    [[], 'peers'],
    [{ one: peer }, 'peers.one'],
    [{ 1: null }, 'peers.1'],
    [{ 1: { agent: 'x' } }, 'peers.1.journal'],
    [{ 1: { ...peer, agent: 5 } }, 'peers.1.agent'],
    [{ 1: { ...peer, agent: '' } }, 'peers.1.agent'],
    [{ 1: { ...peer, more: 1 } }, 'peers.1.more'],
  ]
  for (const [peers, key] of wrong)
    assert.throws(
      () => parse(peers),
      (error: { code?: string; facts?: { key?: string } }) =>
        error.code === 'CONFIG_INVALID' && error.facts?.key === key,
      key,
    )
})
