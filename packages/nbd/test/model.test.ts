/**
 * Real sockets, our own client, many requests at once, answers in any order: the content must be what a plain array of
 * bytes says.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Extent, MemoryExport, NbdClient, type NbdErrno, type NbdRequest } from '../src/index.js'
import { Prng, smallLimits, withServer } from './support.js'

const SIZE = 256 * 1024

/** Carries out requests in the order they come, and answers them in a random one, a few at a time. */
class ShuffledExport extends MemoryExport {
  readonly #prng: Prng
  readonly #answers: (() => void)[] = []
  #due = false

  constructor(prng: Prng) {
    super({ sizeBytes: SIZE })
    this.#prng = prng
  }

  override submit(request: NbdRequest): void {
    const later = (answer: () => void): void => {
      this.#answers.push(answer)
      this.#schedule()
    }
    const { operation, offset, length, fua, noHole, fastZero, payload } = request
    super.submit({
      ...{ operation, offset, length, fua, noHole, fastZero, payload },
      complete: (errno: NbdErrno | 0) => later(() => request.complete(errno)),
      completeRead: (pieces: readonly Buffer[]) => later(() => this.#answerRead(request, pieces)),
      fillRead: () => false,
      completeStatus: (extents: readonly Extent[]) => later(() => request.completeStatus(extents)),
    })
  }

  /** In pieces, or filled in where the reply is made, at the first or the second try. */
  #answerRead(request: NbdRequest, pieces: readonly Buffer[]): void {
    const filled = (into: Buffer, tries: boolean): boolean => {
      assert.equal(into.length, request.length)
      if (tries) Buffer.concat(pieces).copy(into)
      else into.fill(0xee)
      return tries
    }
    const way = this.#prng.between(0, 3)
    if (way > 1 && request.fillRead((into) => filled(into, way === 3))) return
    request.completeRead(cut(pieces, this.#prng))
  }

  #schedule(): void {
    if (this.#due) return
    this.#due = true
    setImmediate(() => {
      this.#due = false
      for (let count = this.#prng.between(0, 5); count > 0 && this.#answers.length > 0; count--) {
        const [answer] = this.#answers.splice(this.#prng.between(0, this.#answers.length - 1), 1)
        answer?.()
      }
      if (this.#answers.length > 0) this.#schedule()
    })
  }
}

/** The same bytes in pieces of other lengths. */
function cut(pieces: readonly Buffer[], prng: Prng): Buffer[] {
  const all = Buffer.concat(pieces)
  const at = prng.between(0, all.length)
  return [all.subarray(0, at), all.subarray(at)]
}

for (const structured of [true, false]) {
  const how = structured ? 'structured' : 'simple'
  test(`with ${how} replies, what is read is what was written, in whatever order answers come`, async () => {
    const prng = new Prng(`model ${how}`)
    const target = new ShuffledExport(prng)
    await withServer(
      [target],
      async ({ server, path }) => {
        const model = Buffer.alloc(SIZE)
        const client = await NbdClient.connect({ path }, { structured })
        const pending = new Set<Promise<void>>()
        for (let count = 0; count < 1500; count++) {
          const promise: Promise<void> = step(client, model, prng).finally(() => pending.delete(promise))
          pending.add(promise)
          if (pending.size > prng.between(1, 40)) await Promise.race(pending)
        }
        await Promise.all(pending)
        for (let at = 0; at < SIZE; at += 32_768) {
          assert.ok((await client.read(at, 32_768)).equals(model.subarray(at, at + 32_768)))
        }
        assert.ok(target.bytes.equals(model))
        assert.deepEqual(server.memory(), { payloadBytes: 0, replyBytes: 0 })
        await client.disconnect()
      },
      smallLimits,
    )
  })
}

/** One random request, checked against the model; the model changes at once, as the export does in order. */
async function step(client: NbdClient, model: Buffer, prng: Prng): Promise<void> {
  const length = prng.pick([1, 100, 4096, 5000, 60_000])
  const offset = prng.between(0, SIZE - length)
  switch (prng.between(0, 5)) {
    case 0:
    case 1: {
      const payload = Buffer.alloc(length, prng.bytes(16))
      payload.copy(model, offset)
      return client.write(offset, payload, { fua: prng.next() < 0.5 })
    }
    case 2:
      model.fill(0, offset, offset + length)
      return prng.next() < 0.5 ? client.trim(offset, length) : client.writeZeroes(offset, length)
    case 3:
      if (!client.hasAllocationContext) return client.flush()
      return client.blockStatus(offset, length).then((extents) => {
        assert.ok(extents.reduce((sum, extent) => sum + extent.length, 0) <= length)
      })
    default: {
      const expected = Buffer.from(model.subarray(offset, offset + length))
      return client.read(offset, length).then((bytes) => assert.ok(bytes.equals(expected)))
    }
  }
}
