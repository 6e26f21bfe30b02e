/**
 * Links over QUIC and over WebTransport, with the real programs: from a token to replicated writes, an agent that dies and comes back, a peer
 * that is revoked, and a rotation, all as over TLS.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ControlClient, RealClock } from '@sitelink/daemon'
import { decodeToken, findHttp3, quicProblem } from '@sitelink/protocol'
import { Cluster } from '../support/cluster.js'
import { assertSidesEqual } from '../support/equality.js'
import { slinkOf } from '../support/status-shape.js'
import { waitFor } from '../support/wait-for.js'

const MIB = 1024 * 1024
const problem = quicProblem()

for (const scheme of ['quic', 'https'] as const) {
  if (scheme === 'quic' && problem !== null) {
    test(`a pair over ${scheme}`, (t) => t.skip(problem))
    continue
  }
  describe(`a pair over ${scheme}`, () => {
    let cluster: Cluster

    before(async () => {
      cluster = await Cluster.start({
        label: scheme,
        scheme,
        devices: [{ name: 'data', sizeBytes: 8 * MIB }],
        slinks: [{ words: ['--policy', 'sync', '--ack', 'durable'] }],
      })
    })
    after(() => cluster.close())

    const write = async (at: number, fill: string): Promise<void> => {
      const client = await cluster.connect('data')
      await client.write(at, Buffer.alloc(MIB, fill))
      await client.flush()
      await client.disconnect()
      await cluster.inStep()
    }

    test('one token leads to replicated writes, and the status says by which address', async () => {
      await write(0, `over ${scheme}`)
      await cluster.agent().applied()
      await assertSidesEqual(cluster)
      const { stdout } = await cluster.must('status', '--json')
      assert.match(stdout, new RegExp(`"${scheme}://127\\.\\d+\\.\\d+\\.\\d+:\\d+"`))
      const token = await cluster.agent().invite('--name', 'unused')
      assert.match(decodeToken(token).addresses[0] as string, new RegExp(`^${scheme}://`))
    })

    if (scheme === 'https')
      test('both sides say whether HTTP/3 is used and why not, and require is refused where it cannot be had', async () => {
        const found = await findHttp3(new RealClock())
        const quic = async (): Promise<unknown> => {
          const { slinks } = JSON.parse((await cluster.must('status', '--json')).stdout) as {
            slinks: { quic: string; carrier: { protocol: string; why: string | null } | null }[]
          }
          return [slinks[0]?.quic, slinks[0]?.carrier ?? null]
        }
        if (found.kind === 'loaded') return assert.deepEqual(await quic(), ['auto', { protocol: 'HTTP/3', why: null }])
        const { why } = found
        assert.deepEqual(await quic(), ['auto', { protocol: 'HTTP/2', why }])
        assert.match((await cluster.must('events')).stdout, /slink 1 goes over HTTP\/2, not HTTP\/3: /)
        const agent = await cluster.agent().run('status', '--json')
        assert.equal(
          (JSON.parse(agent.stdout) as { listeningLacks: string }).listeningLacks,
          `HTTP/3 cannot be had: ${why}`,
        )
        const refused = await cluster.run('slink', 'set', '1', '--quic', 'require')
        assert.equal(refused.status, 69, refused.stderr)
        assert.match(refused.stderr, /which cannot be had here: [^]*repeat with --quic auto/)
        await cluster.must('slink', 'set', '1', '--quic', 'never')
        await waitFor('the link to be there again', async () => slinkOf(await cluster.status(), 1).connected)
        assert.deepEqual(await quic(), ['never', { protocol: 'HTTP/2', why: 'it is not asked for (--quic never)' }])
      })

    test('an agent that is killed is found out by its silence, and resumes where it was when it is back', async () => {
      await cluster.agent().kill()
      await waitFor('the primary to see it', async () => !slinkOf(await cluster.status(), 1).connected)
      await cluster.agent().start()
      await write(MIB, 'after the kill')
      await assertSidesEqual(cluster)
    })

    test('both sides rotate their identities and follow each other', async () => {
      await cluster.must('identity', 'rotate')
      assert.equal((await cluster.agent().run('identity', 'rotate')).status, 0)
      await write(2 * MIB, 'after the rotation')
      const rows = JSON.parse((await cluster.must('peer', 'ls', '--json')).stdout) as { fingerprint: string }[]
      assert.equal(rows[0]?.fingerprint, (await cluster.agent().run('identity', 'show')).stdout.trim())
    })

    test('a revoked primary loses its session at once, and a new token brings it back', async () => {
      const revoked = await cluster.agent().run('peer', 'revoke', 'primary-1')
      assert.equal(revoked.status, 0, revoked.stderr)
      await waitFor('the link to say what is wrong', async () => {
        const { slinks } = await new ControlClient(cluster.state).call<{
          slinks: { link: string; problem: string | null }[]
        }>('status', {}, { timeoutMs: 10_000 })
        return slinks[0]?.link === 'refused' && /never enrolled there, or was revoked/.test(slinks[0].problem ?? '')
      })
      await cluster.must('slink', 'set', '1', '--to', await cluster.agent().invite())
      await write(3 * MIB, 'back again')
      await assertSidesEqual(cluster)
    })

    test('both daemons stop cleanly while the link lives', async () => {
      await cluster.stopPrimary()
      await cluster.agent().stop()
    })
  })
}
