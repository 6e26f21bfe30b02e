/** Who waits at a QUIC listener before a stream is there; the native part is not needed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QuicListener } from '../../src/transport/quic-listener.js'
import type { QuicConnection, QuicServer } from '../../src/transport/quic-native.js'
import { GATE_MS, GATES_MAX } from '../../src/transport/tls-waiting-room.js'
import { SimClock } from '../support/clock.js'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('connections without a stream are counted, and one more ends the one that waits longest', async () => {
  const clock = new SimClock()
  const ended: number[] = []
  const refused: string[] = []
  const takers: ((connection: QuicConnection) => void)[] = []
  let end = (): void => {}
  const closed = new Promise<never>((_resolve, reject) => (end = () => reject(new Error('server closed'))))
  const server = {
    port: () => 1,
    inboundConnection: () => Promise.race([new Promise<QuicConnection>((resolve) => takers.push(resolve)), closed]),
    abort: async () => end(),
  } as unknown as QuicServer
  const listener = new QuicListener(server, 'quic://h:1', {
    take: () => {},
    refused: (_remote, why) => refused.push(why),
    clock,
  })
  const come = async (at: number): Promise<void> => {
    let gone = (): void => {}
    const stream = new Promise<never>((_resolve, reject) => (gone = () => reject(new Error('aborted'))))
    const connection = {
      remoteMultiaddr: () => '',
      inboundStream: () => stream,
      abort: () => {
        ended.push(at)
        gone()
      },
    }
    while (takers.length === 0) await turn()
    takers.shift()?.(connection as unknown as QuicConnection)
    await turn()
  }
  for (let at = 0; at < GATES_MAX + 2; at += 1) await come(at)
  assert.deepEqual(ended, [0, 1])
  clock.run(GATE_MS)
  await turn()
  assert.equal(ended.length, GATES_MAX + 2, 'the others have their time')
  assert.equal(refused.length, GATES_MAX + 2, 'each is told of once')
  await listener.close()
})
