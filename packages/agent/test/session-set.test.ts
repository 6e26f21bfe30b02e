/** How many connections may greet at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock, Connection } from '@sitelink/protocol'
import { GREETING_CONNECTIONS_MAX } from '../src/limits.js'
import { SessionSet, type SessionSetOptions } from '../src/session/session-set.js'

test('each connection above the cap ends one that greets, not the one that was told to go already', () => {
  const ended: number[] = []
  const clock = { nowMs: () => 0, wallUs: () => 0, after: () => ({ cancel: () => {} }), soon: () => {} }
  const set = new SessionSet({ clock: clock as Clock } as unknown as SessionSetOptions)
  for (let at = 0; at < GREETING_CONNECTIONS_MAX + 3; at += 1) {
    // It takes its time to go.
    const connection = {
      description: `connection ${at}`,
      queuedBytes: 0,
      attach: () => {},
      write: () => true,
      pause: () => {},
      resume: () => {},
      close: () => ended.push(at),
      destroy: () => {},
    }
    set.accept(connection as unknown as Connection)
  }
  assert.deepEqual(ended, [0, 1, 2])
})
