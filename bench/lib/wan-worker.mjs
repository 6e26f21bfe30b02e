/**
 * The inside of a wide-area link: a thread of its own that carries bytes late and at a bounded rate.
 *
 * Owns the sockets and the queues. A chunk leaves when the link has carried all before it, and arrives a fixed time
 * later, as on a long wire: delay costs no bandwidth. What is on the wire and in the queue in front of it is bounded; a
 * direction that holds that much stops reading, and the sender feels it as any sender does. Bytes are never lost,
 * changed or reordered.
 */
import { connect, createServer } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'

const { targetHost, targetPort, oneWayMs, bytesPerSecond, counters } = workerData
const passed = new BigInt64Array(counters)

/** The queue in front of the wire, as time at full rate. */
const QUEUE_MS = 25
const heldBytesMax = Math.ceil((bytesPerSecond * (oneWayMs + QUEUE_MS)) / 1000)

/** One direction of one connection. */
class Lane {
  #held = []
  #heldBytes = 0
  #freeMs = 0
  #ended = false
  #timer = null

  constructor(from, to, counter) {
    this.from = from
    this.to = to
    this.counter = counter
  }

  begin() {
    const { from, to } = this
    from.on('data', (chunk) => this.#take(chunk))
    from.on('end', () => {
      this.#ended = true
      this.#pump()
    })
    to.on('drain', () => this.#pump())
  }

  #take(chunk) {
    this.#freeMs = Math.max(this.#freeMs, performance.now()) + (chunk.length * 1000) / bytesPerSecond
    this.#held.push({ chunk, dueMs: this.#freeMs + oneWayMs })
    this.#heldBytes += chunk.length
    if (this.#heldBytes >= heldBytesMax) this.from.pause()
    if (this.#timer === null) this.#pump()
  }

  /** Hands on what has arrived, and comes back for the rest. */
  #pump() {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.to.destroyed) return
    const nowMs = performance.now()
    let count = 0
    this.to.cork()
    while (count < this.#held.length && this.#held[count].dueMs <= nowMs && !this.to.writableNeedDrain) {
      const { chunk } = this.#held[count++]
      this.#heldBytes -= chunk.length
      passed[this.counter] += BigInt(chunk.length)
      this.to.write(chunk)
    }
    this.to.uncork()
    if (count > 0) this.#held.splice(0, count)
    if (this.#heldBytes < heldBytesMax && this.from.isPaused()) this.from.resume()
    if (this.#held.length === 0) {
      if (this.#ended) this.to.end()
    } else if (!this.to.writableNeedDrain) {
      this.#timer = setTimeout(() => this.#pump(), Math.max(1, this.#held[0].dueMs - nowMs))
    }
  }
}

const server = createServer((near) => {
  const far = connect({ host: targetHost, port: targetPort })
  for (const [socket, other] of [
    [near, far],
    [far, near],
  ]) {
    socket.setNoDelay(true)
    socket.on('error', () => other.destroy())
    socket.on('close', () => other.destroy())
  }
  for (const lane of [new Lane(near, far, 0), new Lane(far, near, 1)]) lane.begin()
})
server.listen(0, '127.0.0.1', () => parentPort.postMessage({ port: server.address().port }, []))
