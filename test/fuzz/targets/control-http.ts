/**
 * The control server: a Unix socket on which a stranger sends any bytes at all.
 *
 * Each input is one connection. Held to: what comes back is whole HTTP answers with a status that the server gives, each
 * with a JSON body that is a result or a coded error that is no bug (pages and streams aside); the server reports no
 * bug; the connection ends when the client's does; and after it the server answers a good request.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ControlServer, daemonErrors, SitelinkError, StateDirectory } from '@sitelink/daemon'
import { brief, Finding, hold, type Target } from '../engine/target.js'

const BODY_BYTES_MAX = 4096
const STATUSES: ReadonlySet<number> = new Set([100, 200, 400, 404, 409, 413, 417, 431, 500, 503])

/** Sends and reads to the end. */
function talk(path: string, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const socket = connect(path)
    const done = (): void => resolve(Buffer.concat(chunks))
    socket.on('data', (chunk) => chunks.push(chunk))
    // A server that has said all may close over bytes that it did not read.
    socket.on('error', () => undefined)
    socket.on('close', done)
    socket.end(bytes)
  })
}

/** Walks the answers; the words of what they say. */
function readAnswers(bytes: Buffer): string[] {
  const words: string[] = []
  let text = bytes.toString('latin1')
  while (text !== '') {
    const head = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(text)
    hold(head !== null, `an answer is HTTP: ${brief(text)}`)
    const status = Number(head[1])
    hold(STATUSES.has(status), `${status} is a status of the control server`)
    const headers = String(head[2])
    text = text.slice(head[0].length)
    // The answer to a HEAD says the length of a body that does not follow.
    const [body, rest] = text.startsWith('HTTP/1.1 ') ? ['', text] : bodyOf(text, headers)
    text = rest
    words.push(`${status} ${wordOf(body, headers)}`)
  }
  return words
}

function bodyOf(text: string, headers: string): readonly [body: string, rest: string] {
  const length = /^content-length: *(\d+)/im.exec(headers)
  if (length !== null) return [text.slice(0, Number(length[1])), text.slice(Number(length[1]))]
  if (!/^transfer-encoding: *chunked/im.test(headers)) {
    // It ends with the connection; what a client says behind its last request is refused behind it.
    const end = text.indexOf('HTTP/1.1 ')
    return end < 0 ? [text, ''] : [text.slice(0, end), text.slice(end)]
  }
  let body = ''
  let rest = text
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/i.exec(rest)
    if (size === null) return [body, '']
    const bytes = Number.parseInt(String(size[1]), 16)
    body += rest.slice(size[0].length, size[0].length + bytes)
    rest = rest.slice(size[0].length + bytes + 2)
    if (bytes === 0) return [body, rest]
  }
}

function wordOf(body: string, headers: string): string {
  if (body === '' || !/^content-type: *application\//im.test(headers)) return body === '' ? 'nothing' : 'a page'
  const words = new Set<string>()
  for (const line of body.split('\n').filter(Boolean)) {
    const value = JSON.parse(line) as Record<string, unknown>
    const error = 'error' in value ? SitelinkError.fromJson(value['error']) : null
    hold('result' in value || 'event' in value || error !== null, `an answer has a result or an error: ${brief(line)}`)
    hold(error?.kind !== 'internal', `an answer is no bug: ${brief(line)}`)
    words.add(error?.code ?? Object.keys(value)[0] ?? '')
  }
  return [...words].join(' ')
}

export async function controlHttpTarget(): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), 'sitelink-fuzz-'))
  const path = join(folder, 'state')
  await StateDirectory.initialise(path, { program: 'sitelink' }, async () => {})
  const lock = await (await StateDirectory.open(path, { program: 'sitelink' })).lock('daemon')
  const bugs: unknown[] = []
  const server = new ControlServer({
    program: 'sitelink',
    lock,
    onBug: (error) => bugs.push(error),
    bodyBytesMax: BODY_BYTES_MAX,
  })
    .verb('echo', (body) => body)
    .verb('refuse', () => {
      throw daemonErrors.create('CONTROL_REQUEST_INVALID', { why: 'it is refused always' })
    })
    .stream('count', async function* (body) {
      for (let at = 0; at < 3; at++) yield { at, body }
      return null
    })
    .page('/metrics', 'text/plain', () => 'a 1\n')
  await server.start()
  const request = (method: string, where: string, body: string, headers = ''): string =>
    `${method} ${where} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`
  const seeds = [
    request('POST', '/v1/echo', '{"a":[1,2,{"b":null}]}'),
    request('POST', '/v1/count', '{}'),
    request('POST', '/v1/refuse', ''),
    request('GET', '/metrics', ''),
    request('GET', '/v1', '') + request('GET', '/v1/none', ''),
    request('POST', '/v1/echo', '"x"', 'Connection: close\r\n'),
    'POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2]\r\n0\r\n\r\n',
    request('POST', '/v1/echo', '{}', 'Expect: 100-continue\r\n'),
  ]
  return {
    name: 'control-http',
    seeds: seeds.map((text) => Buffer.from(text)),
    iterations: 700,
    bytesMax: 12 * 1024,
    tokens: [
      '\r\n',
      '\r\n\r\n',
      'POST ',
      'GET ',
      '/v1/',
      'Content-Length: 5\r\n',
      'Upgrade: x\r\nConnection: upgrade\r\n',
      'Expect: x\r\n',
      'CONNECT x:1',
      'HTTP/1.0',
      'Transfer-Encoding: chunked\r\n',
      '__proto__',
      '%00',
      '?a=b',
    ].map((word) => Buffer.from(word)),
    allocationBytesMax: (input) => 2 * 1024 * 1024 + 64 * input.length,
    async feed(input) {
      const words = readAnswers(await talk(server.path, input))
      const good = readAnswers(await talk(server.path, Buffer.from(seeds[0] as string)))
      hold(good.length === 1 && good[0] === '200 result', `a good request is answered afterwards: ${brief(good)}`)
      const bug = bugs.shift()
      if (bug !== undefined) throw new Finding('the server reports a bug', { cause: bug })
      return words.slice(0, 3).join(', ')
    },
    async close() {
      await server.stop(AbortSignal.abort())
      await lock.release()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
