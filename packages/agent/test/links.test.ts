/** The links of an agent as they are put together: what fails at a listener that goes on is told. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { IdentityFile, RealClock, RealRandom, StateDirectory } from '@sitelink/daemon'
import type { Clock } from '@sitelink/protocol'
import { openLinks } from '../src/cli/links.js'
import type { AgentEvent } from '../src/events.js'
import { REFUSAL_EVENTS_MAX, REFUSAL_EVENTS_MS } from '../src/limits.js'
import { tellListenerTroubles } from '../src/trust/listener-troubles.js'

const DAY_MS = 24 * 3_600_000

test('a certificate that an agent cannot renew is an event', { timeout: 10_000 }, async (t) => {
  const real = new RealClock()
  let wrong = false
  let renew: (() => void) | null = null
  const clock: Clock = {
    nowMs: () => real.nowMs(),
    soon: (action) => real.soon(action),
    // No certificate can be made without a time.
    wallUs: () => (wrong ? assert.fail('what time it is cannot be told') : real.wallUs()),
    after: (ms, action) => {
      if (ms < DAY_MS) return real.after(ms, action)
      renew = action
      return { cancel: () => {} }
    },
  }
  const folder = mkdtempSync(join(tmpdir(), 'sitelink-agent-links-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const state = await StateDirectory.initialise(
    join(folder, 'state'),
    { program: 'sitelink-agent' },
    async (made, lock) => {
      await IdentityFile.create(made, lock)
      return made
    },
  )
  const lock = await state.lock('command')
  t.after(() => lock.release())
  const told = new Promise<AgentEvent>((resolve) => {
    const parts = { clock, random: new RealRandom(), event: resolve, quic: 'never' as const }
    void openLinks(state, lock, parts).then(async ({ keyed }) => {
      const listener = await keyed.of('https')?.listen('https://127.0.0.1:0', () => {})
      t.after(() => listener?.close())
      wrong = true
      renew?.()
    })
  })
  const { level, kind, message } = await told
  assert.deepEqual([level, kind], ['warn', 'listener-failed'])
  assert.match(message, /^the listener goes on, but something failed there: what time it is cannot be told$/)
})

test('what fails at a listener is told once in a window, with what was left out, and not without bounds', () => {
  const events: AgentEvent[] = []
  let atMs = 0
  const tell = tellListenerTroubles({ nowMs: () => atMs } as Clock, (event) => events.push(event))
  tell(new Error('no descriptors'))
  tell(new Error('no descriptors'))
  assert.equal(events.length, 1)
  for (let count = 0; count < 2 * REFUSAL_EVENTS_MAX; count++) tell(new Error(`another one: ${count}`))
  assert.equal(events.length, REFUSAL_EVENTS_MAX)
  atMs = REFUSAL_EVENTS_MS
  tell(new Error('no descriptors'))
  assert.match(events.at(-1)?.message ?? '', /no descriptors \(and \d+ more times, before it\)$/)
})
