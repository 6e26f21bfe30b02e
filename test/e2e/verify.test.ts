/** A verify by the command line, over real processes and files: what it prints, how it ends, and how it is stopped. */
import assert from 'node:assert/strict'
import { openSync, readSync, writeSync, closeSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { anyCarrier } from '../support/carriers.js'
import { Cluster } from '../support/cluster.js'
import { assertSidesEqual } from '../support/equality.js'
import { primaryProgram } from '../support/places.js'
import { Program } from '../support/program.js'
import { waitFor } from '../support/wait-for.js'

const MIB = 1024 * 1024
const BYTES = 64 * MIB

interface Report {
  readonly complete: boolean
  readonly equalBytes: number
  readonly different: readonly object[]
  readonly markedRegions: number
}

describe('sitelink verify', () => {
  let cluster: Cluster

  before(async () => {
    const devices = [{ name: 'data', sizeBytes: BYTES }]
    cluster = await Cluster.start({
      label: 'verify',
      scheme: anyCarrier('verify'),
      devices,
      slinks: [{ words: ['--policy', 'async'] }],
    })
    const client = await cluster.connect('data')
    for (let at = 0; at < 32; at++) await client.write(at * 2 * MIB, Buffer.alloc(4096, at + 1))
    await client.destroy()
    await cluster.inStep()
  })
  after(() => cluster.close())

  /** Changes a byte of the agent's device, as rot would. */
  function flip(offset: number): void {
    const file = openSync(cluster.agent().devices[0]?.path ?? '', 'r+')
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, offset)
    writeSync(
      file,
      byte.map((value) => value ^ 4),
      0,
      1,
      offset,
    )
    closeSync(file)
  }

  test('[RSY-20] [MSG-16] it ends with 0 where all is equal, with 65 and the range where not, and --mark heals', async () => {
    const equal = await cluster.must('verify', '1')
    assert.match(equal.stdout, /^64 MiB are equal, /)
    flip(9 * MIB + 123)
    const found = await cluster.run('verify', '1', '0')
    assert.equal(found.status, 65)
    assert.match(found.stdout, /DEVICE +OFFSET +LENGTH\n +0 +9437184 +1048576\n63 MiB are equal/)
    assert.match(found.stderr, /slink 1 differs from the local devices: 1048576 bytes .*\n.*verify 1 --mark/)
    const json = await cluster.run('verify', '1', '--json')
    const report = JSON.parse(json.stdout) as Report
    assert.equal(json.status, 65)
    assert.deepEqual(report.different, [{ device: 0, offsetBytes: 9 * MIB, lengthBytes: MIB }])
    assert.equal((JSON.parse(json.stderr) as { error: { code: string } }).error.code, 'VERIFY_DIFFERENT')
    const marked = await cluster.run('verify', '1', '--mark')
    assert.equal(marked.status, 65)
    assert.match(marked.stderr, /1 regions are copied/)
    await cluster.must('resync', '1')
    await cluster.must('verify', '1')
    await assertSidesEqual(cluster)
  })

  test('[RSY-20] Ctrl-C stops it, nothing of it goes on, and another one can be started', async () => {
    await cluster.must('slink', 'set', '1', '--resync-rate', '8m')
    const words = ['verify', '1', '--state', cluster.state]
    const program = Program.start('verify', primaryProgram, words)
    await waitFor('it to show progress', () => Promise.resolve(program.output.includes('verify of slink 1')))
    const busy = await cluster.run('verify', '1')
    assert.equal(busy.status, 75)
    assert.match(busy.stderr, /slink 1 is being verified already/)
    program.signal('SIGINT')
    const { status, signal } = await program.ended
    assert.ok(signal === 'SIGINT' || status === 130, program.output)
    await cluster.must('slink', 'set', '1', '--resync-rate', '0')
    await waitFor('it to be over in the daemon as well', async () => {
      const { status: ended } = await cluster.run('verify', '1')
      return ended === 0
    })
  })

  test('it is refused with the reason where it cannot be', async () => {
    const unknown = await cluster.run('verify', '7')
    assert.equal(unknown.status, 64)
    assert.match(unknown.stderr, /slink 7/)
    const device = await cluster.run('verify', '1', '3')
    assert.match(device.stderr, /device 3 is not mapped to it/)
  })
})
