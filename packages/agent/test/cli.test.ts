/**
 * The program `sitelink-agent` as an operator meets it: real processes, real files, a real TCP session.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, linkSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { RealClock, RealRandom, delay } from '@sitelink/daemon'
import { findHttp3, TcpTransport } from '@sitelink/protocol'
import type { AgentStatus } from '@sitelink/agent'
import { FakePrimary } from './support/fake-primary.js'

const MIB = 1 << 20
const program = fileURLToPath(new URL('../../bin/sitelink-agent.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'sitelink-agent-cli-'))
const clock = new RealClock()
after(() => rmSync(folder, { recursive: true, force: true }))

interface Result {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function run(...words: string[]): Result {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...words], {
    encoding: 'utf8',
    timeout: 30_000,
  })
  return { status, stdout, stderr }
}

function must(...words: string[]): string {
  const result = run(...words)
  assert.equal(result.status, 0, `${words.join(' ')}: ${result.stderr}`)
  return result.stdout
}

/** Refused: this status, one sentence that says `about`, a next step, no stack. */
function refused(status: number, about: RegExp, ...words: string[]): void {
  const result = run(...words)
  assert.equal(result.status, status, `${words.join(' ')}: ${result.stderr}`)
  assert.match(result.stderr, about)
  assert.doesNotMatch(result.stderr, /\n\s+at |undefined|\[object/)
}

async function waitFor<T>(what: string, look: () => T | null | Promise<T | null>): Promise<T> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const found = await look()
    if (found !== null) return found
    await delay(clock, 50)
  }
  throw new Error(`waited 30 s for ${what}`)
}

describe('before the first start', () => {
  const state = join(folder, 'made')

  test('init makes a state directory and a journal, and never a second time', () => {
    must('init', '--state', state, '--journal-size', '4m')
    assert.equal(statSync(join(state, 'journal')).size, 4 * MIB)
    assert.equal(statSync(state).mode & 0o777, 0o700)
    const journal = readFileSync(join(state, 'journal'))
    refused(73, /already/, 'init', '--state', state)
    assert(readFileSync(join(state, 'journal')).equals(journal))
  })

  test('bad words are refused with status 64 and a sentence', () => {
    refused(64, /frobnicate/, 'frobnicate')
    refused(64, /12x/, 'init', '--state', join(folder, 'none'), '--journal-size', '12x')
    refused(64, /below/, 'init', '--state', join(folder, 'none'), '--journal-size', '1m')
    refused(64, /state/, 'status')
    refused(64, /listen/, 'run', '--state', state)
    refused(64, /address/, 'run', '--state', state, '--listen', 'nonsense')
  })

  test('--quic says how https:// is listened on, and nothing else; init keeps it', async (t) => {
    refused(64, /should be one of auto, require, never/, 'run', '--state', state, '--quic', 'yes')
    const tls = ['--listen', 'tls://127.0.0.1:0', '--quic', 'require']
    refused(64, /says how an https:\/\/ address is listened on/, 'run', '--state', state, ...tls)
    const kept = join(folder, 'quic')
    const https = ['--listen', 'https://127.0.0.1:0', '--quic', 'require']
    must('init', '--state', kept, '--journal-size', '4m', ...https)
    const config = readFileSync(join(kept, 'config.json'), 'utf8')
    assert.match(config, /"version": 2,[^]*"quic": "require"/)
    if ((await findHttp3(clock)).kind === 'loaded') return t.diagnostic('HTTP/3 can be had here: it is not refused')
    refused(69, /cannot be had here[^]*--quic auto/, 'run', '--state', kept)
    writeFileSync(
      join(kept, 'config.json'),
      config.replace('"version": 2', '"version": 1').replace(/^.*"quic".*\n/m, ''),
    )
    refused(69, /cannot be had here/, 'run', '--state', kept, '--quic', 'require')
    refused(64, /name/, 'device', 'add', 'a/b', '/dev/null', '--state', state)
    refused(66, /initialised/, 'device', 'ls', '--state', join(folder, 'none'))
    refused(69, /no daemon/, 'status', '--state', state)
    assert.equal(existsSync(join(folder, 'none')), false)
  })

  test('a journal is not made of a file with something in it', () => {
    const precious = join(folder, 'precious')
    writeFileSync(precious, Buffer.alloc(8 * MIB, 'precious'))
    refused(73, /precious/, 'init', '--state', join(folder, 'other'), '--journal', precious, '--journal-size', '4m')
    assert(readFileSync(precious).equals(Buffer.alloc(8 * MIB, 'precious')))
  })

  test('devices are added, listed and deleted, each file once', () => {
    const image = join(folder, 'one.img')
    writeFileSync(image, '')
    truncateSync(image, MIB)
    must('device', 'add', 'one', image, '--state', state)
    must('device', 'add', 'two', join(folder, 'two.img'), '--create', '2m', '--state', state)
    refused(64, /in use/, 'device', 'add', 'three', join(folder, '.', 'one.img'), '--state', state)
    refused(64, /journal/, 'device', 'add', 'three', join(state, 'journal'), '--state', state)
    linkSync(join(state, 'replica.json'), join(folder, 'hard'))
    for (const path of [join(state, 'config.json'), join(state, 'sitelink-state.json'), join(folder, 'hard')])
      refused(64, /in use already: it is .* of the state directory/, 'device', 'add', 'three', path, '--state', state)
    refused(64, /already/, 'device', 'add', 'one', image, '--state', state)
    refused(73, /there already/, 'device', 'add', 'three', image, '--create', '1m', '--state', state)
    refused(66, /nowhere/, 'device', 'add', 'three', join(folder, 'nowhere'), '--state', state)
    const rows = JSON.parse(must('device', 'ls', '--state', state, '--json')) as { name: string; sizeBytes: number }[]
    assert.deepEqual(
      rows.map(({ name, sizeBytes }) => [name, sizeBytes]),
      [
        ['one', MIB],
        ['two', 2 * MIB],
      ],
    )
    must('device', 'del', 'two', '--state', state)
    refused(64, /no device two/, 'device', 'del', 'two', '--state', state)
    assert(existsSync(join(folder, 'two.img')), 'the file stays')
  })
})

describe('while it runs', () => {
  const state = join(folder, 'running')
  const image = join(folder, 'data.img')
  let daemon: ChildProcess
  let output = ''
  let address = ''
  let primary: FakePrimary

  async function start(): Promise<void> {
    output = ''
    daemon = spawn(
      process.execPath,
      [program, 'run', '--state', state, '--listen', 'tcp://127.0.0.1:0', '--insecure-plain'],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    const keep = (chunk: Buffer): void => void (output += chunk.toString())
    daemon.stdout?.on('data', keep)
    daemon.stderr?.on('data', keep)
    address = await waitFor('the address', () => /listening on (tcp:\/\/\S+)/.exec(output)?.[1] ?? null)
  }

  function status(): AgentStatus {
    return JSON.parse(must('status', '--json', '--state', state)) as AgentStatus
  }

  before(async () => {
    must('init', '--state', state, '--journal', join(folder, 'journal'), '--journal-size', '8m')
    must('device', 'add', 'data', image, '--create', '2m', '--state', state)
    await start()
    primary = newPrimary()
  })
  after(async () => {
    primary.disconnect()
    daemon.kill('SIGKILL')
    await waitFor('its end', () => daemon.exitCode ?? daemon.signalCode)
  })

  function newPrimary(): FakePrimary {
    const fake = new FakePrimary({
      clock,
      random: new RealRandom(),
      transport: new TcpTransport({ clock }),
      address,
      devices: [
        {
          deviceId: 1,
          mappingId: 'cccccccccccc0000',
          number: 0,
          name: 'data',
          remote: 'data',
          sizeBytes: 2 * MIB,
          regionBytes: MIB,
        },
      ],
    })
    // It lives in this process, which stands still while a command runs.
    fake.detectMs = 60_000
    return fake
  }

  test('[WR-06] what a primary sends over TCP is journaled, acknowledged, applied, and there after kill -9', async () => {
    const session = await primary.connect()
    await waitFor('the session', () => (session.ready ? true : null))
    const random = new RealRandom()
    for (let i = 0; i < 200; i++) primary.write(1, (i * 4096) % (2 * MIB), random.bytes(4096))
    primary.feed()
    await waitFor('received', () => (session.acks.at(-1)?.received[1] === 200 ? true : null))
    primary.makeDurable(150)
    await waitFor('applied', () => (session.acks.at(-1)?.applied[1] === 150 ? true : null))
    assert(readFileSync(image).equals(primary.contentAt(1, 150)))
    daemon.kill('SIGKILL')
    await waitFor('its end', () => daemon.signalCode)
    primary.disconnect()
    await start()
    const { replica } = status()
    assert.equal(replica?.receivedLsn, 200)
    assert.equal(replica?.consistent, true)
    Object.assign(primary.options, { address })
    const again = await primary.connect()
    await waitFor('the session', () => (again.ready ? true : null))
    primary.makeDurable()
    await waitFor('applied', () => (again.acks.at(-1)?.applied[1] === 200 ? true : null))
    assert(readFileSync(image).equals(primary.contentAt(1, 200)))
  })

  test('status, events and device verbs go through the daemon', () => {
    const report = status()
    assert.equal(report.session.connected, true)
    assert.equal(report.replica?.appliedLsn, 200)
    assert.equal(report.mappings[0]?.regionsDirty, 0)
    assert.match(must('status', '--state', state), /consistent/)
    assert.match(must('events', '--state', state), /session-established/)
    must('device', 'add', 'more', join(folder, 'more.img'), '--create', '1m', '--state', state)
    assert(status().devices.some(({ name }) => name === 'more'))
    refused(75, /mapped/, 'device', 'del', 'data', '--state', state)
    must('device', 'del', 'more', '--state', state)
    refused(75, /pid \d+/, 'run', '--state', state, '--listen', 'tcp://127.0.0.1:0', '--insecure-plain')
    refused(75, /pid \d+/, 'log', 'check', '--state', state)
  })

  test('export serves the replica and ends by itself when it is given back', async () => {
    const socket = join(folder, 'x.sock')
    const child = spawn(process.execPath, [program, 'export', 'data', '--socket', socket, '--state', state], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()))
    await waitFor('the export', () => (/nbd\+unix/.test(said) ? true : null))
    assert.equal(statSync(socket).isSocket(), true)
    assert.equal(status().exports[0]?.device, 'data')
    child.kill('SIGINT')
    await waitFor('its end', () => child.exitCode ?? child.signalCode)
    await waitFor('the thaw', () => (status().exports.length === 0 ? true : null))
    assert.equal(existsSync(socket), false)
    refused(64, /no device nowhere/, 'export', 'nowhere', '--state', state)
  })

  test('a clean stop leaves a journal that checks', async () => {
    primary.disconnect()
    daemon.kill('SIGTERM')
    assert.equal(await waitFor('its end', () => daemon.exitCode), 0)
    const checked = must('log', 'check', '--state', state)
    assert.match(checked, /frames/)
    assert.match(checked, /^ends +at position \d+, LSN \d+$/m)
    const rows = JSON.parse(must('log', 'ls', '--json', '--state', state)) as unknown[]
    assert(Array.isArray(rows))
    await start()
  })
})
