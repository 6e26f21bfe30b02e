/** The probe of a UDP port: what the system says of it, and that no answer of it throws. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { probeUdp } from '../../src/transport/udp-probe.js'

const LIMIT = { timeout: 10_000 }

/** Keeps the process up: a probe that says nothing is a test that fails by its time. */
async function probed(ip: string, port: number): Promise<NodeJS.ErrnoException> {
  const up = setInterval(() => {}, 1000)
  try {
    return await new Promise((resolve) => probeUdp({ ip, family: 4 }, port, resolve))
  } finally {
    clearInterval(up)
  }
}

test('an address that nothing can be sent to is told of, and nothing is thrown', LIMIT, async () => {
  // A broadcast address: EACCES. A host without a route says ENETUNREACH in the same place.
  const error = await probed('255.255.255.255', 9)
  assert.match(error.code ?? '', /^(EACCES|ENETUNREACH)$/)
})

test('a port that no program has is refused by its host', LIMIT, async () => {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(resolve))
  assert.equal((await probed('127.0.0.1', port)).code, 'ECONNREFUSED')
})
