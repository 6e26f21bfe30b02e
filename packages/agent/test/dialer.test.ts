/** The dialer alone: a clock, and connections that are what the test says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolError, type Connection } from '@sitelink/protocol'
import { Prng, SimClock } from '@sitelink/storage/testing'
import type { AgentEvent } from '../src/events.js'
import { Dialer } from '../src/session/dialer.js'

const seed = process.env['SEED'] ?? 'dialer'

function world(answers: (address: string) => boolean) {
  const clock = new SimClock()
  const dialled: { readonly address: string; readonly atMs: number }[] = []
  const events: AgentEvent[] = []
  const ends: ((established: boolean) => void)[] = []
  let destroyed = 0
  const connection = { destroy: () => void (destroyed += 1) } as unknown as Connection
  const dialer = new Dialer({
    clock,
    random: new Prng(seed),
    addresses: ['tls://a:1', 'tls://b:2'],
    dial: (address) => {
      dialled.push({ address, atMs: clock.nowMs() })
      return answers(address)
        ? Promise.resolve(connection)
        : Promise.reject(new ProtocolError('DIAL_REFUSED', { address, why: 'refused' }))
    },
    accept: (_connection, ended) => void ends.push(ended),
    event: (event) => void events.push(event),
  })
  return { clock, dialer, dialled, events, ends, destroyed: () => destroyed }
}

test('addresses are tried in turn, soon at first, at longer and longer intervals later, and failures are told once', async () => {
  const { clock, dialer, dialled, events } = world(() => false)
  dialer.start()
  await clock.advance(60_000)
  assert.deepEqual(
    dialled.slice(0, 4).map(({ address }) => address),
    ['tls://a:1', 'tls://b:2', 'tls://a:1', 'tls://b:2'],
  )
  const gaps = dialled.slice(1).map(({ atMs }, at) => atMs - (dialled[at]?.atMs ?? 0))
  assert.ok((gaps[0] ?? 0) <= 126 && (gaps[1] ?? 0) <= 126, gaps.join(' '))
  assert.ok(Math.max(...gaps) > 3000 && Math.max(...gaps) <= 6300, gaps.join(' '))
  assert.ok(dialled.length < 40, `${dialled.length} attempts a minute`)
  assert.ok(events.length <= dialled.length)
  assert.equal(events[0]?.kind, 'dial-failed')
  assert.ok(dialer.problem !== null)
})

test('while a session lives nothing is dialled; when it ends its address is tried again at once', async () => {
  const { clock, dialer, dialled, ends } = world((address) => address === 'tls://b:2')
  dialer.start()
  await clock.advance(1000)
  assert.equal(ends.length, 1)
  const before = dialled.length
  await clock.advance(600_000)
  assert.equal(dialled.length, before)
  ends[0]?.(true)
  await clock.advance(130)
  assert.equal(dialled[before]?.address, 'tls://b:2', 'it was the one that worked')
  assert.equal(ends.length, 2)
  dialer.stop()
  ends[1]?.(true)
  const stopped = dialled.length
  await clock.advance(60_000)
  assert.equal(dialled.length, stopped, 'a dialer that is stopped dials no more')
})

test('a session that never got as far as that does not make the dialer forget to wait', async () => {
  const { clock, dialer, dialled, ends } = world(() => true)
  dialer.start()
  await clock.advance(10)
  for (let count = 0; count < 12; count += 1) {
    ends.at(-1)?.(false)
    await clock.advance(7000)
  }
  const gaps = dialled.slice(1).map(({ atMs }, at) => atMs - (dialled[at]?.atMs ?? 0))
  assert.ok(dialled.length >= 10 && dialled.length <= 14, `${dialled.length} attempts`)
  assert.ok(gaps.length > 0)
})
