/**
 * Links over networks that nobody trusts, with the real programs: from a token to replicated writes, and everything that
 * is refused on the way, at both ends, with the pair that lives not disturbed.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { ControlClient, makeCertificate } from '@sitelink/daemon'
import { decodeToken } from '@sitelink/protocol'
import { Cluster } from '../support/cluster.js'
import { assertSidesEqual } from '../support/equality.js'
import { agentProgram, primaryProgram, removeFolder, temporaryFolder } from '../support/places.js'
import { mustRun, Program, runCommand, type RunResult } from '../support/program.js'
import { slinkOf } from '../support/status-shape.js'
import { waitFor } from '../support/wait-for.js'

const MIB = 1024 * 1024
const MARKER = 'a marker that must not be seen on the way '

interface OperatorEvent {
  readonly seq: number
  readonly kind: string
  readonly message: string
  readonly facts: Readonly<Record<string, unknown>>
}

describe('a pair over TLS', () => {
  let cluster: Cluster

  before(async () => {
    cluster = await Cluster.start({
      label: 'tls',
      scheme: 'tls',
      logSize: '16m',
      devices: [{ name: 'data', sizeBytes: 4 * MIB }],
      slinks: [{ words: ['--policy', 'async'] }],
    })
  })
  after(() => cluster.close())

  const agentEvents = async (): Promise<OperatorEvent[]> => {
    const events: OperatorEvent[] = []
    const control = new ControlClient(cluster.agent().state)
    for await (const page of control.stream<{ events: OperatorEvent[] }>('events', { afterSeq: 0, follow: false }))
      events.push(...page.events)
    return events
  }
  /** An event of the agent of this kind that says so. */
  const told = (kind: string, says: RegExp): Promise<OperatorEvent> =>
    waitFor(`an event ${kind} of the agent`, async () =>
      (await agentEvents()).find((event) => event.kind === kind && says.test(event.message)),
    )
  const write = async (at: number, fill: string): Promise<void> => {
    const client = await cluster.connect('data')
    await client.write(at, Buffer.alloc(MIB, fill))
    await client.flush()
    await client.disconnect()
    await cluster.inStep()
  }
  const live = async (): Promise<boolean> => slinkOf(await cluster.status(), 1).connected

  /** Another group that wants to be slink 1 of the same agent, and runs. */
  async function other(t: TestContext): Promise<{ state: string; run(...words: string[]): Promise<RunResult> }> {
    const folder = temporaryFolder('other')
    const [state, path] = [join(folder, 'state'), join(folder, 'data.img')]
    writeFileSync(path, '')
    truncateSync(path, MIB)
    await mustRun(primaryProgram, ['init', '--state', state, '--log', join(folder, 'log'), '--log-size', '4m'])
    const daemon = Program.start('other', primaryProgram, ['run', '--state', state])
    t.after(async () => {
      await daemon.kill()
      removeFolder(folder)
    })
    const control = new ControlClient(state)
    await waitFor(
      'the other primary to answer',
      async () => (await control.hello({ timeoutMs: 5000 })).verbs.length > 0,
    )
    return { state, run: (...words) => runCommand(primaryProgram, [...words, '--state', state]) }
  }
  const problemOf = (state: string, says: RegExp): Promise<string> =>
    waitFor('the link to say what is wrong', async () => {
      const { slinks } = await new ControlClient(state).call<{
        slinks: { link: string; problem: string | null }[]
      }>('status', {}, { timeoutMs: 10_000 })
      const { link, problem } = slinks[0] ?? {}
      return link === 'refused' && says.test(problem ?? '') ? problem : null
    })

  test('one token leads to replicated writes, and nothing of them can be read on the way', async () => {
    const { proxy } = cluster.agent()
    const seen: Buffer[] = []
    proxy.tcp.watch((chunk) => seen.push(Buffer.from(chunk)))
    await write(0, MARKER)
    proxy.tcp.watch(null)
    await cluster.agent().applied()
    await assertSidesEqual(cluster)
    const wire = Buffer.concat(seen)
    assert.ok(wire.length > MIB, 'the bytes went through')
    for (const plain of ['marker', 'SLNK', 'hello', 'data'])
      assert.equal(wire.includes(plain), false, `"${plain}" was seen on the way`)
  })

  test('keys and secrets are readable by their owner alone, and no report shows them', async () => {
    for (const state of [cluster.state, cluster.agent().state]) {
      for (const name of ['identity.json', 'trust.json']) assert.equal(statSync(join(state, name)).mode & 0o777, 0o600)
      const { key } = JSON.parse(readFileSync(join(state, 'identity.json'), 'utf8')) as { key: string }
      const line = key.split('\n')[1] as string
      for (const name of readdirSync(state).filter((each) => each.endsWith('.json') && each !== 'identity.json'))
        assert.equal(readFileSync(join(state, name), 'utf8').includes(line), false, name)
    }
    const token = await cluster.agent().invite('--name', 'secretive')
    const secret = decodeToken(token).secret.toString('hex')
    const { stdout } = await cluster.agent().run('peer', 'ls', '--json')
    assert.match(stdout, /secretive/)
    assert.equal(stdout.includes(secret), false)
    const said = cluster.agent().program?.output ?? ''
    assert.equal(said.includes(secret) || said.includes(token), false, 'the log of the daemon does not hold it')
  })

  test('a token counts once: whoever comes with it later is refused, at both ends', async (t) => {
    const token = await cluster.agent().invite('--name', 'first')
    const [first, second] = [await other(t), await other(t)]
    const took = await first.run('slink', 'add', '1', '--to', token)
    assert.equal(took.status, 0, took.stderr)
    for (const [who, number] of [
      [second, '1'],
      [first, '2'],
    ] as const) {
      const { status, stderr } = await who.run('slink', 'add', number, '--to', token)
      assert.equal(status, 77, stderr)
      assert.match(
        stderr,
        /refused the invitation: the token has been used already, and counts once\n {2}try: .*invite/,
      )
    }
    await told('enrolment-refused', /its token was used already/)
    const rows = JSON.parse((await cluster.agent().run('peer', 'ls', '--json')).stdout) as { peers: { name: string }[] }
    assert.equal(rows.peers.filter(({ name }) => name === 'first').length, 1)
    // It is enrolled, and yet of another group: that is the handshake's to refuse.
    assert.match(await problemOf(first.state, /group/), /replicates the group/)
    assert.equal(await live(), true)
  })

  test('a token whose time is over, one that was not copied whole and one of nobody are refused', async (t) => {
    const late = await cluster.agent().invite('--valid', '1ms')
    const stranger = await other(t)
    const refused = async (token: string, status: number, says: RegExp): Promise<void> => {
      const result = await stranger.run('slink', 'add', '1', '--to', token)
      assert.equal(result.status, status, result.stderr)
      assert.match(result.stderr, says)
    }
    await refused(late, 77, /the token has expired/)
    await told('enrolment-refused', /its token has expired/)
    await refused(late.slice(0, -3), 64, /this is not an invitation: it was not copied whole/)
    const { id, fingerprint, addresses } = decodeToken(late)
    const { encodeToken } = await import('@sitelink/protocol')
    const guess = { id: id.replace(/^../, '00'), secret: Buffer.alloc(16), addresses }
    await refused(encodeToken({ ...guess, fingerprint }), 77, /it does not know this token/)
    // An invitation of somebody else, whose address leads here: nothing is said to a key that it does not name.
    await refused(encodeToken({ ...guess, fingerprint: '0'.repeat(64) }), 77, /not the one of the invitation/)
    const { stdout } = await stranger.run('slink', 'ls', '--json')
    assert.deepEqual(JSON.parse(stdout), [], 'nothing was added')
  })

  test('a primary that was never enrolled is refused with a sentence at both ends', async (t) => {
    const stranger = await other(t)
    const { host, port } = cluster.agent().proxy
    const plainly = await stranger.run('slink', 'add', '1', '--to', `tls://${host}:${port}`)
    assert.equal(plainly.status, 64)
    assert.match(plainly.stderr, /no identity is pinned for slink 1/)
    // With a pin that somebody wrote by hand: the agent does not know the key.
    const token = await cluster.agent().invite('--name', 'short-lived')
    assert.equal((await stranger.run('slink', 'add', '1', '--to', token)).status, 0)
    assert.equal((await cluster.agent().run('peer', 'revoke', 'short-lived')).status, 0)
    assert.match(await problemOf(stranger.state, /never enrolled/), /refused the identity [0-9a-f]{16} of this side/)
    await told('peer-refused', /its key is that of short-lived, which was revoked/)
    assert.equal(await live(), true)
  })

  test('plain TCP, TLS 1.2 and a foreign certificate at the TLS port get nothing, are told of, and disturb nobody', async () => {
    const { host } = cluster.agent()
    const fromPlain = await new Promise<Buffer>((resolve) => {
      const chunks: Buffer[] = []
      const socket = connectPlain(7373, host, () => socket.write('SLNK'.repeat(24)))
      socket.on('data', (chunk) => chunks.push(chunk)).on('close', () => resolve(Buffer.concat(chunks)))
    })
    assert.equal(fromPlain.length, 7, 'a TLS alert')
    await told('peer-refused', /speaks no TLS/)
    const foreign = await makeCertificate()
    const ends = { host, port: 7373, rejectUnauthorized: false, key: foreign.key, cert: foreign.certificate } as const
    await new Promise<void>((resolve) => {
      connectTls({ ...ends, maxVersion: 'TLSv1.2' })
        .on('error', () => {})
        .on('close', () => resolve())
    })
    await told('peer-refused', /no TLS 1\.3/)
    await new Promise<void>((resolve) => {
      connectTls({ ...ends, ALPNProtocols: ['sitelink/1'] })
        .on('error', () => {})
        .on('close', () => resolve())
        .resume()
    })
    await told('peer-refused', /never enrolled here/)
    assert.equal(await live(), true)
  })

  test('a plain primary at the TLS port and an encrypted one at a plain port are told what they have met', async (t) => {
    const plain = await other(t)
    const { host, port } = cluster.agent().proxy
    const unasked = await plain.run('slink', 'add', '1', '--to', `tcp://${host}:${port}`)
    assert.equal(unasked.status, 64)
    assert.match(unasked.stderr, /neither encrypted nor authenticated.*\n {2}try: .*--insecure-plain/)
    const asked = await plain.run('slink', 'add', '1', '--to', `tcp://${host}:${port}`, '--insecure-plain')
    assert.equal(asked.status, 0, asked.stderr)
    await waitFor('the plain link to say what is wrong', async () => {
      const { slinks } = await new ControlClient(plain.state).call<{ slinks: { problem: string | null }[] }>(
        'status',
        {},
        { timeoutMs: 10_000 },
      )
      return /speaks TLS and this connection is plain/.test(slinks[0]?.problem ?? '')
    })
    const mixed = await plain.run('slink', 'set', '1', '--to', `tcp://${host}:1`, `tls://${host}:2`, '--insecure-plain')
    assert.equal(mixed.status, 64)
    assert.match(mixed.stderr, /cannot have both/)
  })

  test('both sides rotate their identities and follow each other, without a word of the operator', async () => {
    const fingerprints = async (): Promise<string[]> => [
      (await cluster.must('identity', 'show')).stdout.trim(),
      (await cluster.agent().run('identity', 'show')).stdout.trim(),
    ]
    const before = await fingerprints()
    for (let round = 0; round < 2; round++) {
      await cluster.must('identity', 'rotate')
      const rotated = await cluster.agent().run('identity', 'rotate')
      assert.equal(rotated.status, 0, rotated.stderr)
    }
    await write(MIB, 'after the rotation')
    const [own, agents] = (await fingerprints()) as [string, string]
    assert.equal(before.includes(own) || before.includes(agents), false)
    const rows = JSON.parse((await cluster.must('peer', 'ls', '--json')).stdout) as { fingerprint: string }[]
    assert.equal(rows[0]?.fingerprint, agents)
    await told('peer-rotated', /has another key now/)
    // Also where one of them does not run meanwhile.
    await cluster.agent().stop()
    assert.equal((await cluster.agent().run('identity', 'rotate')).status, 0)
    await cluster.agent().start()
    await write(2 * MIB, 'after another')
    await assertSidesEqual(cluster)
  })

  test('a revoked primary loses its session at once, and a new token brings it back', async () => {
    const list = JSON.parse((await cluster.agent().run('peer', 'ls', '--json')).stdout) as {
      peers: { name: string; revokedMs: number | null }[]
    }
    assert.ok(list.peers.some(({ name, revokedMs }) => name === 'primary-1' && revokedMs === null))
    const revoked = await cluster.agent().run('peer', 'revoke', 'primary-1')
    assert.equal(revoked.status, 0, revoked.stderr)
    const { facts } = await told('peer-revoked', /primary-1 was revoked; 1 of its connections ended/)
    assert.equal(facts['ended'], 1)
    assert.match(await problemOf(cluster.state, /never enrolled/), /or was revoked/)
    const again = await cluster.agent().run('peer', 'revoke', 'primary-1')
    assert.equal(again.status, 64)
    await cluster.must('slink', 'set', '1', '--to', await cluster.agent().invite())
    await write(3 * MIB, 'back again')
    await assertSidesEqual(cluster)
  })

  test('an agent that the primary does not trust any more loses the link, until it is enrolled anew', async () => {
    await cluster.must('peer', 'revoke', '1')
    assert.match(await problemOf(cluster.state, /none is pinned/), /and none is pinned for slink 1/)
    await cluster.must('slink', 'set', '1', '--to', await cluster.agent().invite())
    await cluster.inStep()
  })

  test('an agent listens on a plain address only when it is told to, and an exposed key stops it', async () => {
    const agent = cluster.agent()
    await agent.stop()
    const plain = await agent.run('run', '--listen', 'tcp://127.0.0.1:0')
    assert.equal(plain.status, 64)
    assert.match(plain.stderr, /neither encrypted nor authenticated.*\n {2}try: .*--insecure-plain/)
    const path = join(agent.state, 'identity.json')
    await mustRun('chmod', ['644', path])
    const exposed = await agent.run('run', '--listen', 'tls://127.0.0.1:0')
    assert.equal(exposed.status, 77)
    assert.match(exposed.stderr, /can be read by others \(mode 644\)\n {2}try: chmod 600/)
    await mustRun('chmod', ['600', path])
    const words = ['run', '--state', agent.state, '--listen', `tls://${agent.host}:7373`, '--invite']
    const inviting = (agent.program = Program.start('inviting agent', agentProgram, words))
    const token = await waitFor('the token', () => /^SLINK1-\S+$/m.exec(inviting.output)?.[0])
    assert.deepEqual(decodeToken(token).addresses, [`tls://${agent.host}:7373`])
    await cluster.must('slink', 'set', '1', '--to', token)
    await cluster.inStep()
  })
})
