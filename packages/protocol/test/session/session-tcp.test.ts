/** Sessions over real sockets: a stream under credit, and a peer that is gone. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { CreditWindow, frameBytes, TcpTransport, type Connection } from '../../src/index.js'
import { realClock } from '../support/clock.js'
import { seeded } from '../support/random.js'
import { Side, writeFrame } from '../support/session-world.js'

async function tcpSides(): Promise<{ primary: Side; agent: Side; done: () => Promise<void> }> {
  const transport = new TcpTransport({ clock: realClock })
  let accept!: (connection: Connection) => void
  const accepted = new Promise<Connection>((resolve) => (accept = resolve))
  const listener = await transport.listen('tcp://127.0.0.1:0', (connection) => accept(connection))
  const dialed = await transport.dial(listener.address, { timeoutMs: 10_000 })
  const primary = new Side(dialed, { role: 'primary', clock: realClock })
  const agent = new Side(await accepted, { role: 'agent', clock: realClock })
  const done = async (): Promise<void> => {
    primary.session.destroy('the test is over')
    agent.session.destroy('the test is over')
    while (primary.ends.length + agent.ends.length < 2) await new Promise((resolve) => setImmediate(resolve))
    await listener.close()
  }
  return { primary, agent, done }
}

test('a stream of 64 MiB arrives whole and in order under a window of credit', { timeout: 30_000 }, async (t) => {
  const random = seeded(t)
  const { primary, agent, done } = await tcpSides()
  const window = new CreditWindow()
  const sent = createHash('sha256')
  const seen = createHash('sha256')
  const total = 64 * 1024 * 1024
  let sentBytes = 0
  let lsn = 0
  const pump = (): void => {
    while (primary.session.writable && sentBytes < total) {
      const frame = writeFrame(lsn + 1, random.oneIn(10) ? 1024 * 1024 : random.below(20_000))
      if (primary.session.creditBytes < frameBytes(frame)) return
      lsn += 1
      sentBytes += frameBytes(frame)
      sent.update(frame.header)
      if (frame.payload !== null) sent.update(frame.payload)
      primary.session.sendFrames([frame])
    }
  }
  let gaps = 0
  agent.onFrame = (frame, count) => {
    if (frame.lsn !== count) gaps += 1
    seen.update(frame.header)
    if (frame.payload !== null) seen.update(frame.payload)
    window.consume(frameBytes(frame))
    agent.frames.length = 0
  }
  agent.onBatchEnd = () => {
    window.measure(realClock.nowMs(), agent.session.rttMs)
    const grant = window.grantDue()
    if (grant !== null) agent.session.grant(grant)
    agent.log.length = 0
  }
  primary.onMessage = pump
  primary.onWritable = pump
  agent.session.sendControl({ kind: 'ready', end: [0, 0], creditBytes: window.grantedBytes })
  while (agent.session.streamBytes < total && agent.ends.length === 0)
    await new Promise((resolve) => setImmediate(resolve))
  assert.equal(gaps, 0)
  assert.equal(agent.session.streamBytes, sentBytes)
  assert.equal(seen.digest('hex'), sent.digest('hex'))
  await done()
})

test('a peer whose socket breaks ends the session with what the system said', { timeout: 30_000 }, async () => {
  const { primary, agent, done } = await tcpSides()
  agent.session.destroy('crash')
  while (primary.ends.length === 0) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(primary.end?.kind, 'connection')
  await done()
})
