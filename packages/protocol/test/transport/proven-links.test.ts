/** Who waits at a transport whose channels know no identities: also who came to enrol, until that is done. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection, TlsRefusal } from '../../src/index.js'
import { attemptTo } from '../../src/transport/attempt.js'
import type { ByteStream } from '../../src/transport/byte-stream.js'
import { ProvenLinks } from '../../src/transport/proven-links.js'
import { GATE_MS, GATES_MAX } from '../../src/transport/tls-waiting-room.js'
import { SimClock } from '../support/clock.js'
import { FIRST, OTHER } from '../support/identities.js'
import { knows } from '../support/judges.js'
import { SEED, SeededRandom } from '../support/random.js'

/** One end of a stream within this process. */
class End implements ByteStream {
  other!: End
  destroyed = false
  #came: Buffer[] = []
  #wake = (): void => {}

  async read(): Promise<Buffer | null> {
    for (;;) {
      const chunk = this.#came.shift()
      if (chunk !== undefined) return chunk
      if (this.destroyed) throw new Error('it is gone')
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  async write(bytes: Buffer): Promise<void> {
    if (this.destroyed) throw new Error('it is gone')
    this.other.#came.push(Buffer.from(bytes))
    this.other.#wake()
  }

  async finish(): Promise<void> {}

  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.#wake()
    this.other.destroy()
  }
}

const quiet = { data: () => {}, drained: () => {}, closed: () => {} }
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function world() {
  const clock = new SimClock()
  const random = new SeededRandom(SEED)
  const refusals: TlsRefusal[] = []
  const enrolling: Connection[] = []
  const sessions: Connection[] = []
  const listening = new ProvenLinks('test', {
    clock,
    random,
    identity: () => FIRST,
    judge: knows(OTHER),
    enrol: (connection) => {
      connection.attach(quiet)
      enrolling.push(connection)
    },
    refused: (refusal) => refusals.push(refusal),
  })
  const dialling = new ProvenLinks('test', { clock, random, identity: () => OTHER, judge: knows(FIRST) })
  const come = async (purpose: 'session' | 'enrol', name: string): Promise<End> => {
    const [near, far] = [new End(), new End()]
    near.other = far
    far.other = near
    void listening.received({ stream: far, name: 'it', remote: name }, (connection) => sessions.push(connection))
    const on = attemptTo(name, { timeoutMs: GATE_MS }, clock, () => near.destroy())
    await dialling.dialled({ stream: near, name: 'it', remote: name }, purpose, name, on)
    return near
  }
  return { clock, refusals, enrolling, sessions, come, dialling }
}

test('who came to enrol and says nothing has no more time than any stranger', async () => {
  const { clock, refusals, enrolling, sessions, come } = world()
  const [enrols, session] = [await come('enrol', 'one'), await come('session', 'two')]
  while (enrolling.length < 1 || sessions.length < 1) await turn()
  clock.run(GATE_MS)
  while (!enrols.destroyed) await turn()
  assert.equal(session.destroyed, false)
  assert.deepEqual(
    refusals.map(({ remote, why }) => [remote, why]),
    [['one', `it had not shown within ${GATE_MS} ms who it is`]],
  )
})

test('those who enrol are among the strangers that are counted, until they are gone', async () => {
  const { refusals, enrolling, come } = world()
  for (let count = 0; count < 2 * GATES_MAX; count += 1) {
    await come('enrol', `done ${count}`)
    while (enrolling.length <= count) await turn()
    enrolling[count]?.destroy()
  }
  assert.equal(refusals.length, 0)
  const first = await come('enrol', 'first')
  for (let count = 0; count < GATES_MAX; count += 1) await come('enrol', `more ${count}`)
  while (!first.destroyed) await turn()
  assert.equal(refusals.length, 1)
  assert.match(refusals[0]?.why ?? '', /more than 64 connections wait to be known/)
})

test('a key that is revoked while its verdict is waited for ends the dial', async () => {
  const { clock, dialling } = world()
  let verdict = (): void => {}
  const asked = new Promise<void>((resolve) => (verdict = resolve))
  let judging = false
  const slow = new ProvenLinks('test', {
    clock,
    random: new SeededRandom(SEED),
    identity: () => FIRST,
    judge: async () => {
      judging = true
      await asked
      return { kind: 'known' }
    },
  })
  const [near, far] = [new End(), new End()]
  near.other = far
  far.other = near
  void slow.received({ stream: far, name: 'it', remote: 'slow' }, () => {})
  const on = attemptTo('slow', { timeoutMs: GATE_MS }, clock, () => near.destroy())
  const dial = dialling.dialled({ stream: near, name: 'it', remote: 'slow' }, 'session', 'slow', on)
  dial.catch(() => {})
  while (!judging) await turn()
  assert.equal(dialling.endPeer(FIRST.fingerprint, 'it was revoked'), 1)
  await assert.rejects(dial)
  verdict()
  assert.equal(dialling.endAll('nothing is left'), 0)
})
