/**
 * One end of a link that is measured: a process that does nothing else, so that its processor time is the link's.
 *
 * Told by LINK_END (JSON) what it is: which link, which end, and what is measured. It writes JSON lines to stdout: the
 * receiving end its `address` first, then each its `result`. `pump`: the sender writes frames as fast as the link takes
 * them. `echo`: it writes one and waits until it is back. The bare links are plain sockets with the same frames and
 * nothing around them.
 */
import { connect as connectTcp, createServer as createTcp } from 'node:net'
import { connect as connectTls, createServer as createTls } from 'node:tls'
import { packageOf } from './compiled.mjs'

const HEADER_BYTES = 96
const FRAME_BYTES = HEADER_BYTES + 4096
/** Frames in one write: 256 KiB, as the stream of entries has it while it is behind. */
const FRAMES_AT_ONCE = 64

const told = JSON.parse(process.env.LINK_END)
const { kind, mode, warmMs, ms, mine, theirs } = told
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`)

/** Two buffers a frame, as the product sends them. */
const frame = [Buffer.alloc(HEADER_BYTES, 7), Buffer.alloc(4096, 9)]
const batch = Array.from({ length: FRAMES_AT_ONCE }, () => frame).flat()

/** `{ listen(accepted), dial(address) }`; both give `{ write(chunks), hear(data, drained) }`. */
const links = { 'bare-tcp': bare, 'bare-tls': bare, tcp: ours, tls: ours, https: ours, quic: ours }

function bare() {
  const encrypted = kind === 'bare-tls'
  const terms = {
    key: mine.key,
    cert: mine.certificates,
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: false,
  }
  const end = (socket) => {
    socket.setNoDelay(true)
    socket.on('error', (error) => tell({ problem: error.message }))
    return {
      write(chunks) {
        let room = true
        socket.cork()
        for (const chunk of chunks) room = socket.write(chunk)
        socket.uncork()
        return room
      },
      hear(data, drained) {
        socket.on('data', data)
        socket.on('drain', drained)
      },
    }
  }
  return {
    listen: (accepted) =>
      new Promise((resolve) => {
        const take = (socket) => accepted(end(socket))
        const server = encrypted ? createTls(terms, take) : createTcp(take)
        server.listen(0, '127.0.0.1', () => resolve(String(server.address().port)))
      }),
    dial: (port) =>
      new Promise((resolve) => {
        const to = { host: '127.0.0.1', port: Number(port) }
        const socket = encrypted ? connectTls({ ...to, ...terms }) : connectTcp(to)
        socket.once(encrypted ? 'secureConnect' : 'connect', () => resolve(end(socket)))
      }),
  }
}

async function ours() {
  const [protocol, daemon] = [await packageOf('protocol'), await packageOf('daemon')]
  const clock = new daemon.RealClock()
  const terms = {
    clock,
    random: new daemon.RealRandom(),
    identity: () => mine,
    judge: async ({ keys }) =>
      keys.includes(theirs.fingerprint) ? { kind: 'known' } : { kind: 'refused', verdict: 'unknown', why: 'not known' },
    makeCertificate: daemon.makeShortCertificate,
  }
  const { Landing, TcpTransport, TlsTransport, HttpsTransport, QuicTransport } = protocol
  const transport = new { tcp: TcpTransport, tls: TlsTransport, https: HttpsTransport, quic: QuicTransport }[kind](
    terms,
  )
  const end = (connection) => {
    // What is read goes where a session has it read to.
    const landing = new Landing()
    return {
      write: (chunks) => connection.write(chunks),
      hear: (data, drained) =>
        connection.attach({
          data(chunk) {
            landing.took(chunk)
            data(chunk)
          },
          room: () => landing.room(),
          drained,
          closed: (reason) => tell({ problem: reason?.message ?? 'closed' }),
        }),
    }
  }
  return {
    listen: async (accepted) => (await transport.listen(`${kind}://127.0.0.1:0`, (one) => accepted(end(one)))).address,
    dial: async (address) => end(await transport.dial(address, { timeoutMs: 20_000 })),
  }
}

/** After warming up, what passed and what it cost in the time that is measured, which is longer where nothing passed in it. */
function measure(passed) {
  setTimeout(() => {
    const [before, cpu, beganMs] = [passed(), process.cpuUsage(), performance.now()]
    const end = () => {
      if (passed() === before) return void setTimeout(end, ms)
      const { user, system } = process.cpuUsage(cpu)
      tell({ result: { bytes: passed() - before, cpuUs: user + system, ms: performance.now() - beganMs } })
    }
    setTimeout(end, ms)
  }, warmMs)
}

function receive(link) {
  let bytes = 0
  let owed = 0
  link.hear(
    (chunk) => {
      if (bytes === 0 && mode === 'pump') measure(() => bytes)
      bytes += chunk.length
      if (mode !== 'echo') return
      for (owed += chunk.length; owed >= FRAME_BYTES; owed -= FRAME_BYTES) link.write(frame)
    },
    () => {},
  )
}

function pump(link) {
  let bytes = 0
  const send = () => {
    let room = true
    while (room) {
      room = link.write(batch)
      bytes += FRAMES_AT_ONCE * FRAME_BYTES
    }
  }
  link.hear(() => {}, send)
  measure(() => bytes)
  send()
}

/** Round trips one after the other; tells the middle one. */
function echo(link) {
  const tripsUs = []
  const beganMs = performance.now()
  let [sentMs, back] = [0, 0]
  const next = () => {
    sentMs = performance.now()
    link.write(frame)
  }
  link.hear(
    (chunk) => {
      back += chunk.length
      if (back < FRAME_BYTES) return
      back -= FRAME_BYTES
      const nowMs = performance.now()
      if (nowMs - beganMs > warmMs) tripsUs.push((nowMs - sentMs) * 1000)
      if (nowMs - beganMs < warmMs + ms || tripsUs.length === 0) next()
      else tell({ result: { tripUs: tripsUs.sort((a, b) => a - b)[tripsUs.length >> 1], trips: tripsUs.length } })
    },
    () => {},
  )
  next()
}

const link = await links[kind]()
if (told.address === undefined) tell({ address: await link.listen(receive) })
else (mode === 'pump' ? pump : echo)(await link.dial(told.address))
