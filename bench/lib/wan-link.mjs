/**
 * A link of a given round trip and bandwidth between two programs of this machine, and what plain sockets reach on it.
 *
 * Owns the thread that carries the bytes (wan-worker.mjs), so that what the benchmark itself does never slows the link.
 * `pump` is the reference: a sender and a receiver that do nothing else. A link ends with `close`, and with the process.
 */
import { connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'

const HOST = '127.0.0.1'

export class WanLink {
  #worker
  #passed

  /** Use {@link WanLink.start}. */
  constructor(worker, passed, port) {
    this.#worker = worker
    this.#passed = passed
    this.port = port
  }

  /** A link to a port of this machine; `rttMs` is the time there and back. */
  static async start({ targetPort, targetHost = HOST, rttMs, bytesPerSecond }) {
    const counters = new SharedArrayBuffer(16)
    const workerData = { targetHost, targetPort, oneWayMs: rttMs / 2, bytesPerSecond, counters }
    const worker = new Worker(new URL('wan-worker.mjs', import.meta.url), { workerData })
    worker.unref()
    const port = await new Promise((resolve, reject) => {
      worker.once('message', (said) => resolve(said.port))
      worker.once('error', reject)
    })
    worker.on('error', (error) => {
      throw error
    })
    return new WanLink(worker, new BigInt64Array(counters), port)
  }

  get address() {
    return `tcp://${HOST}:${this.port}`
  }

  /** Bytes that have arrived at the target so far. */
  get bytesThere() {
    return Number(Atomics.load(this.#passed, 0))
  }

  async close() {
    await this.#worker.terminate()
  }
}

/** Bytes a second that one connection carries over such a link, once it is under way. */
export async function pump({ rttMs, bytesPerSecond, warmSeconds, seconds }) {
  let received = 0
  const sockets = new Set()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (chunk) => (received += chunk.length))
  })
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, HOST, resolve)
  })
  const link = await WanLink.start({ targetPort: server.address().port, rttMs, bytesPerSecond })
  try {
    const sender = connect({ host: HOST, port: link.port })
    sockets.add(sender)
    sender.on('error', () => {})
    const piece = Buffer.alloc(256 * 1024)
    const send = () => {
      while (!sender.destroyed && sender.write(piece));
    }
    sender.on('connect', send)
    sender.on('drain', send)
    await delay(warmSeconds * 1000)
    const [before, beganMs] = [received, performance.now()]
    await delay(seconds * 1000)
    return ((received - before) * 1000) / (performance.now() - beganMs)
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
    await link.close()
  }
}
