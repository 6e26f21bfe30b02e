/**
 * What the programs refuse, they refuse with a sentence, a status of sysexits, and without changing a byte of what was
 * there: bad words, missing devices, foreign and damaged files, a full disk, the wrong peer.
 */
import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import { createHash } from 'node:crypto'
import { requireMounts } from '../support/clients.js'
import { Cluster } from '../support/cluster.js'
import { agentProgram, primaryProgram, removeFolder, temporaryFolder } from '../support/places.js'
import { mustRun, Program, runCommand, type RunResult } from '../support/program.js'
import { slinkOf } from '../support/status-shape.js'
import { waitFor } from '../support/wait-for.js'

const MIB = 1024 * 1024

function workFolder(t: TestContext): string {
  const folder = temporaryFolder('refusals')
  t.after(() => removeFolder(folder))
  return folder
}

/** Every file below a folder, with the hash of its content; sockets are left out. */
function contents(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [relative(folder, path), createHash('sha256').update(readFileSync(path)).digest('hex')]),
  )
}

/** Refused: a status of sysexits, one clear sentence on stderr that says `about`, no stack, and `folder` unchanged. */
async function refused(folder: string, about: RegExp, run: () => Promise<RunResult>): Promise<void> {
  const before = contents(folder)
  const { status, signal, stderr, command } = await run()
  const said = `${command} -> ${status ?? signal}\n${stderr}`
  assert.ok(status !== null && status >= 64 && status <= 78, said)
  assert.match(stderr, about, said)
  assert.doesNotMatch(stderr, /\n\s+at |AssertionFailure|undefined|\[object/, said)
  assert.deepEqual(contents(folder), before, `nothing changed: ${said}`)
}

const primary = (...words: string[]) => runCommand(primaryProgram, words, { timeoutMs: 30_000 })
const agent = (...words: string[]) => runCommand(agentProgram, words, { timeoutMs: 30_000 })

/** A made group that does not run: its folder, state directory and log. */
async function madeGroup(t: TestContext): Promise<{ folder: string; state: string; log: string; device: string }> {
  const folder = workFolder(t)
  const [state, log, device] = [join(folder, 'state'), join(folder, 'log'), join(folder, 'data.img')]
  writeFileSync(device, Buffer.alloc(MIB, 7))
  await mustRun(primaryProgram, ['init', '--state', state, '--log', log, '--log-size', '4m'])
  await mustRun(primaryProgram, ['device', 'add', '0', device, '--name', 'data', '--state', state])
  return { folder, state, log, device }
}

test('words that make no sense are refused with status 64 and leave nothing', async (t) => {
  const folder = workFolder(t)
  const [state, log] = [join(folder, 'state'), join(folder, 'log')]
  const cases: [RegExp, string[]][] = [
    [/frobnicate/, ['frobnicate']],
    [/--log/, ['init', '--state', state]],
    [/12x/, ['init', '--state', state, '--log', log, '--log-size', '12x']],
    [/log-size|4096|at least/, ['init', '--state', state, '--log', log, '--log-size', '4k']],
    [/--state/, ['status']],
    [/surplus|argument|extra/, ['init', 'surplus', '--state', state, '--log', log]],
  ]
  for (const [about, words] of cases) {
    await refused(folder, about, async () => {
      const result = await primary(...words)
      assert.equal(result.status, 64, result.stderr)
      return result
    })
  }
  await refused(folder, /frobnicate/, () => agent('frobnicate'))
  assert.deepEqual(readdirSync(folder), [])
})

test('[FMT-07] [CFG-18] a file with something else in it is not taken for a log', async (t) => {
  const folder = workFolder(t)
  const log = join(folder, 'precious')
  writeFileSync(log, Buffer.alloc(8 * MIB, 'precious bytes '))
  const state = join(folder, 'state')
  await refused(folder, /precious/, () => primary('init', '--state', state, '--log', log, '--log-size', '4m'))
  assert.equal(existsSync(join(state, 'config.json')), false, 'no state directory is left behind')
})

test('[FMT-12] [CFG-17] a log that exists is not created again, and a state directory not made twice', async (t) => {
  const { folder, state, log } = await madeGroup(t)
  await refused(folder, /state|already/, () =>
    primary('init', '--state', state, '--log', join(folder, 'log2'), '--log-size', '4m'),
  )
  await refused(folder, /already|log/, () =>
    primary('init', '--state', join(folder, 'state2'), '--log', log, '--log-size', '4m'),
  )
})

test('[FMT-10] a damaged log is refused and left as it is', async (t) => {
  const { folder, state, log } = await madeGroup(t)
  const bytes = readFileSync(log)
  bytes.fill(0x5a, 0, 512 * 1024)
  writeFileSync(log, bytes)
  await refused(folder, /log/, () => primary('run', '--state', state))
})

test('[CFG-21] a missing log is an error and is not made anew', async (t) => {
  const { folder, state, log } = await madeGroup(t)
  cpSync(log, join(folder, 'elsewhere'))
  await mustRun('rm', [log])
  await refused(folder, /log/, () => primary('run', '--state', state))
})

test('[FMT-23] the log of another group is refused', async (t) => {
  const one = await madeGroup(t)
  const other = await madeGroup(t)
  cpSync(other.log, one.log)
  await refused(one.folder, /group/, () => primary('run', '--state', one.state))
})

test('a configuration that cannot be read is refused by name and kept', async (t) => {
  const { folder, state } = await madeGroup(t)
  const path = readdirSync(state)
    .map((name) => join(state, name))
    .find((file) => file.includes('config') && !file.endsWith('.lock'))
  assert.ok(path, `a configuration in ${readdirSync(state).join(', ')}`)
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.slice(0, text.length / 2))
  await refused(folder, /config/, () => primary('run', '--state', state))
  await refused(folder, /config/, () => primary('device', 'ls', '--state', state))
})

test('[DEV-06] [CFG-20] a device that is missing, taken or too much like another is refused by name', async (t) => {
  const { folder, state, log, device } = await madeGroup(t)
  const add = (...words: string[]) => primary('device', 'add', ...words, '--state', state)
  await refused(folder, /nowhere/, () => add('1', join(folder, 'nowhere'), '--name', 'other'))
  await refused(folder, /in use|already/, () => add('1', device, '--name', 'other'))
  await refused(folder, /in use|already/, () => add('1', join(folder, '.', 'data.img'), '--name', 'other'))
  await refused(folder, /log|in use/, () => add('1', log, '--name', 'other'))
  const second = join(folder, 'second.img')
  writeFileSync(second, Buffer.alloc(MIB))
  await refused(folder, /0/, () => add('0', second, '--name', 'other'))
  await refused(folder, /data/, () => add('1', second, '--name', 'data'))
})

test('[CFG-18] a full disk is said to be full, and nothing is left half made', async (t) => {
  if (!requireMounts(t)) return
  const folder = workFolder(t)
  const [small, precious] = [join(folder, 'small'), join(folder, 'precious')]
  mkdirSync(small)
  mkdirSync(precious)
  writeFileSync(join(precious, 'file'), 'kept')
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', small])
  try {
    const state = join(folder, 'state')
    await refused(precious, /space|full/i, async () => {
      const result = await primary('init', '--state', state, '--log', join(small, 'log'), '--log-size', '8m')
      assert.equal(result.status, 73, result.stderr)
      return result
    })
    const site = join(folder, 'site')
    const journal = ['--journal', join(small, 'journal'), '--journal-size', '8m']
    await refused(precious, /space|full/i, () => agent('init', '--state', site, ...journal))
    assert.deepEqual(readdirSync(small), [], 'no file of half a size is left')
    assert.deepEqual([existsSync(state), existsSync(site)], [false, false], 'no state directory is left')
    await mustRun(primaryProgram, ['init', '--state', state, '--log', join(folder, 'log'), '--log-size', '4m'])
    await mustRun(agentProgram, ['init', '--state', site, '--journal', join(folder, 'journal'), '--journal-size', '4m'])
  } finally {
    await mustRun('umount', [small])
  }
})

test('a journal that is missing, foreign or damaged stops the agent and is left as it is', async (t) => {
  const folder = workFolder(t)
  const [state, journal, image] = [join(folder, 'state'), join(folder, 'journal'), join(folder, 'data.img')]
  writeFileSync(image, Buffer.alloc(MIB, 3))
  await mustRun(agentProgram, ['init', '--state', state, '--journal', journal, '--journal-size', '4m'])
  await mustRun(agentProgram, ['device', 'add', 'data', image, '--state', state])
  const run = () => agent('run', '--state', state, '--listen', 'tcp://127.0.0.1:0', '--insecure-plain')
  const good = readFileSync(journal)
  await mustRun('rm', [journal])
  await refused(folder, /journal/, run)
  writeFileSync(journal, Buffer.alloc(4 * MIB, 'foreign'))
  await refused(folder, /journal/, run)
  const damaged = Buffer.from(good)
  damaged.fill(0xff, 0, 256 * 1024)
  writeFileSync(journal, damaged)
  await refused(folder, /journal/, run)
  await mustRun(agentProgram, [
    'init',
    '--state',
    join(folder, 'state2'),
    '--journal',
    join(folder, 'j2'),
    '--journal-size',
    '4m',
  ])
  cpSync(join(folder, 'j2'), journal)
  await refused(folder, /journal/, run)
})

describe('a running pair', () => {
  let cluster: Cluster

  before(async () => {
    cluster = await Cluster.start({
      label: 'peers',
      logSize: '8m',
      devices: [{ name: 'data', sizeBytes: 2 * MIB }],
      slinks: [{ words: ['--policy', 'async'] }],
    })
    const client = await cluster.connect('data')
    await client.write(0, Buffer.alloc(MIB, 9))
    await client.disconnect()
    await cluster.inStep()
    await cluster.agent().applied()
  })
  after(() => cluster.close())

  test('[CFG-15] a second daemon on the same state directory is refused and the first goes on', async () => {
    for (const result of [
      await cluster.run('run'),
      await cluster.agent().run('run', '--listen', 'tcp://127.0.0.1:0', '--insecure-plain'),
    ]) {
      assert.ok(result.status !== null && result.status >= 64, result.stderr)
      assert.match(result.stderr, /holds this state directory/i)
    }
    assert.equal(slinkOf(await cluster.status(), 1).connected, true)
  })

  test('drain names the paused sites that it does not wait for', async () => {
    await cluster.must('slink', 'pause', '1')
    const drained = await cluster.run('drain', '--timeout', '30s')
    await cluster.must('slink', 'resume', '1')
    await cluster.inStep()
    assert.equal(drained.status, 0, drained.stderr)
    assert.match(drained.stdout, /at every site that is not paused; skipped: slink 1$/m)
  })

  test('a device that the running daemon has already is refused as in use, not as held by another process', async () => {
    const { devices } = await cluster.status()
    const path = devices[0]?.path ?? ''
    const result = await cluster.run('device', 'add', '9', path, '--name', 'again')
    assert.equal(result.status, 64, result.stderr)
    assert.match(result.stderr, /is in use already: device 0/)
  })

  test('[DEV-09] a dirty log on what somebody else wrote is refused, the file stays, and the daemon goes on', async (t) => {
    const folder = workFolder(t)
    const [image, precious] = [join(folder, 'other.img'), join(folder, 'precious')]
    writeFileSync(image, Buffer.alloc(MIB, 1))
    writeFileSync(precious, Buffer.alloc(MIB, 2))
    await cluster.must('device', 'add', '9', image, '--name', 'other')
    const map = ['device', 'map', '9', '--slink', '1', '--remote', 'other', '--dirty-log', `disk:${precious}`]
    const refused = await cluster.run(...map)
    assert.equal(refused.status, 73, refused.stderr)
    assert.match(refused.stderr, /precious holds something that is not a dirty log[^\n]*\n {2}try: .*disk:PATH/)
    assert.deepEqual(readFileSync(precious), Buffer.alloc(MIB, 2))
    assert.equal(slinkOf(await cluster.status(), 1).connected, true)
    await cluster.must('device', 'del', '9')
  })

  test('a dirty log at a path that the operator named is voided when its device is unmapped, and the file stays', async (t) => {
    const folder = workFolder(t)
    const [image, named] = [join(folder, 'other.img'), join(folder, 'named')]
    writeFileSync(image, Buffer.alloc(MIB, 1))
    writeFileSync(named, Buffer.alloc(MIB))
    await cluster.must('device', 'add', '9', image, '--name', 'other')
    await cluster.must('device', 'map', '9', '--slink', '1', '--remote', 'other', '--dirty-log', `disk:${named}`)
    assert.notDeepEqual(readFileSync(named).subarray(0, 8192), Buffer.alloc(8192))
    await cluster.must('device', 'unmap', '9', '--slink', '1')
    assert.deepEqual(readFileSync(named).subarray(0, 8192), Buffer.alloc(8192))
    assert.equal(readFileSync(named).length, MIB)
    await cluster.must('device', 'del', '9')
  })

  /** Another group whose slink 1 leads to the same agent; answers what its slink says is wrong. */
  async function intruder(t: TestContext, device: { sizeBytes: number; remote: string }): Promise<string> {
    const folder = workFolder(t)
    const state = join(folder, 'state')
    const path = join(folder, 'data.img')
    writeFileSync(path, '')
    truncateSync(path, device.sizeBytes)
    const other = (...words: string[]) => mustRun(primaryProgram, [...words, '--state', state])
    await other('init', '--log', join(folder, 'log'), '--log-size', '4m')
    await other('device', 'add', '0', path, '--name', 'data')
    await other('slink', 'add', '1', '--to', `tcp://${cluster.agent().host}:7373`, '--insecure-plain')
    await other('device', 'map', '0', '--slink', '1', '--remote', device.remote, '--sync')
    const daemon = Program.start('intruder', primaryProgram, ['run', '--state', state])
    t.after(() => daemon.kill())
    return waitFor('a refusal', async () => {
      const { stdout } = await other('status', '--json')
      const { slinks } = JSON.parse(stdout) as { slinks: { problem: string | null; link: string }[] }
      const slink = slinks[0]
      return slink?.link === 'refused' ? slink.problem : null
    })
  }

  test('[SM-14] another group is refused by the agent, and the copy stays as it is', async (t) => {
    const before = contents(join(cluster.folder, 'agent-1'))['data.img']
    assert.match(await intruder(t, { sizeBytes: 2 * MIB, remote: 'data' }), /group/)
    assert.equal(contents(join(cluster.folder, 'agent-1'))['data.img'], before)
    assert.equal(slinkOf(await cluster.status(), 1).connected, true)
  })

  test('[DEV-16] a copy smaller than its original is refused, and stays as it is', async (t) => {
    const other = await Cluster.start({ label: 'small', devices: [], slinks: [{ words: [] }] })
    t.after(() => other.close())
    const copy = join(other.folder, 'copy.img')
    writeFileSync(copy, Buffer.alloc(MIB, 5))
    const original = join(other.folder, 'original.img')
    writeFileSync(original, Buffer.alloc(2 * MIB, 6))
    const added = await other.agent().run('device', 'add', 'data', copy)
    assert.equal(added.status, 0, added.stderr)
    await other.must('device', 'add', '0', original, '--name', 'data')
    const mapped = await other.run('device', 'map', '0', '--slink', '1', '--remote', 'data', '--sync')
    const refusal =
      mapped.status === 0
        ? await waitFor('the refusal', async () => {
            const { problem } = slinkOf(await other.status(), 1)
            return problem !== null && /only \d+/.test(problem) ? problem : null
          })
        : mapped.stderr
    assert.match(refusal, /only \d+|smaller/)
    assert.ok(readFileSync(copy).equals(Buffer.alloc(MIB, 5)), 'the copy is untouched')
  })
})
