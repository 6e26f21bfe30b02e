/** How many connections may greet at once, and how many that were told to go may take their time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock, Connection, ConnectionHandler } from '@sitelink/protocol'
import { GREETING_CONNECTIONS_MAX } from '../src/limits.js'
import { SessionSet, type SessionSetOptions } from '../src/session/session-set.js'

const CLOCK = { nowMs: () => 0, wallUs: () => 0, after: () => ({ cancel: () => {} }), soon: () => {} }

test('each connection above the cap ends one that greets, not the one that was told to go already', () => {
  const ended: number[] = []
  const set = new SessionSet({ clock: CLOCK as Clock } as unknown as SessionSetOptions)
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

test('of those that were told to go and do not no more hang on than may greet; one that went makes room', () => {
  const cut: number[] = []
  const handlers: ConnectionHandler[] = []
  const set = new SessionSet({ clock: CLOCK as Clock } as unknown as SessionSetOptions)
  const accept = (): void => {
    const at = handlers.length
    const connection = {
      description: `connection ${at}`,
      queuedBytes: 0,
      attach: (handler: ConnectionHandler) => handlers.push(handler),
      write: () => true,
      pause: () => {},
      resume: () => {},
      // Nobody takes what it is told: it does not end.
      close: () => {},
      destroy: () => cut.push(at),
    }
    set.accept(connection as unknown as Connection)
  }
  for (let count = 0; count < 2 * GREETING_CONNECTIONS_MAX; count += 1) accept()
  assert.deepEqual(cut, [])
  accept()
  assert.deepEqual(cut, [0])
  accept()
  assert.deepEqual(cut, [0, 1])
  handlers[5]?.closed(null)
  accept()
  assert.deepEqual(cut, [0, 1], 'there was room')
  accept()
  assert.deepEqual(cut, [0, 1, 2])
})
