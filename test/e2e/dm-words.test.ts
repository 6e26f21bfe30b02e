/**
 * The set-up of the specification's worked example, typed in as it stands there with other paths, against the real
 * programs: made, printed, fed back, written to until a site falls behind, changed by messages, and restarted.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ControlClient } from '@sitelink/daemon'
import { NbdClient } from '@sitelink/nbd'
import { agentProgram, primaryProgram, removeFolder, temporaryFolder } from '../support/places.js'
import { mustRun, Program, runCommand, type RunResult } from '../support/program.js'
import { waitFor } from '../support/wait-for.js'

const MIB = 1024 * 1024
const DEVICE_BYTES = 16 * MIB
const SECTORS = DEVICE_BYTES / 512
/** Regions of 4096 sectors. */
const REGIONS = SECTORS / 4096
const BLOCK_BYTES = 4096

/** Loopback addresses of this process. */
const hostOf = (number: number): string => `127.${200 + (process.pid % 50)}.${(process.pid >> 8) & 255}.${number}`

function file(path: string, sizeBytes: number): string {
  writeFileSync(path, '')
  truncateSync(path, sizeBytes)
  return path
}

class Example {
  readonly folder = temporaryFolder('dm')
  readonly state = join(this.folder, 'state')
  readonly log = join(this.folder, 'log')
  readonly agents: Program[] = []
  primary: Program | null = null
  readonly #control = new ControlClient(this.state)

  path(name: string): string {
    return join(this.folder, name)
  }

  /** The three lines of the example; `site` is the type of the remote slinks with what it needs. */
  text(site: (number: number, count: number) => string): string {
    const line = (number: number): string =>
      `0 ${SECTORS} replicator-dev group ${number} 0 1 ld${number} nolog 0 ` +
      `1 1 rd${number} disk 3 bm${number} 4096 nosync 2 1 rd${number}b core 2 4096 sync`
    const remote = `${site(1, 4)} asynchronous ios 10000 ${site(2, 2)} synchronous`
    return `0 1 replicator ringbuffer 4 log 0 auto 262144 blockdev 2 0 asynchronous ${remote}\n${line(0)}\n${line(1)}\n`
  }

  /** As it stands in the specification. */
  get literal(): string {
    return this.text((number, count) => `blockdev ${count} ${number}`)
  }

  /** Sites have agents here: one word more each. */
  get withAgents(): string {
    return this.text((number, count) => `agent ${count + 1} ${number} tcp://${hostOf(number)}:7373`)
  }

  run(words: readonly string[], input?: string): Promise<RunResult> {
    const options = { cwd: this.folder, ...(input === undefined ? {} : { input }) }
    // Tables and messages of this file reach their agents plainly, which has to be asked for.
    const plain = words[0] === 'message' || words.includes('--load') ? ['--insecure-plain'] : []
    return runCommand(primaryProgram, [...words, ...plain, '--state', this.state], options)
  }

  async must(words: readonly string[], input?: string): Promise<string> {
    const { status, stdout, stderr, command } = await this.run(words, input)
    assert.equal(status, 0, `${command}\n${stdout}${stderr}`)
    return stdout
  }

  async makeAgent(number: number): Promise<void> {
    const state = this.path(`agent${number}`)
    await mustRun(agentProgram, [
      'init',
      '--state',
      state,
      '--journal',
      this.path(`journal${number}`),
      '--journal-size',
      '64m',
    ])
    for (const device of [0, 1]) {
      const name = number === 1 ? `rd${device}` : `rd${device}b`
      await mustRun(agentProgram, ['device', 'add', name, file(this.path(name), DEVICE_BYTES), '--state', state])
    }
  }

  startAgent(number: number): void {
    const words = [
      'run',
      '--state',
      this.path(`agent${number}`),
      '--listen',
      `tcp://${hostOf(number)}:7373`,
      '--insecure-plain',
    ]
    this.agents[number] = Program.start(`agent ${number}`, agentProgram, words)
  }

  async startPrimary(more: readonly string[] = []): Promise<void> {
    this.primary = Program.start('primary', primaryProgram, ['run', ...more, '--state', this.state])
    await waitFor('the primary to answer', async () => (await this.#control.hello()).verbs.includes('status'))
  }

  /** The lines of `status --dm`, asked on the control socket. */
  async lines(): Promise<string[]> {
    return (await this.#control.call<{ lines: string[] }>('status-dm')).lines
  }

  /** Waits until the lines of the status match, one pattern each. */
  until(what: string, ...wanted: readonly RegExp[]): Promise<string[]> {
    let lines: string[] = []
    const found = waitFor(what, async () => {
      lines = await this.lines()
      return wanted.every((pattern, at) => pattern.test(lines[at] ?? '')) ? lines : null
    })
    return found.catch(async (error: unknown) => {
      const said = [this.primary, ...this.agents].map((program) => program?.output.slice(-3000))
      const { slinks } = await this.#control.call<{ slinks: unknown }>('status')
      const report = [...lines, JSON.stringify(slinks), ...said].join('\n')
      throw new Error(`the last status:\n${report}`, { cause: error })
    })
  }

  connect(name: string): Promise<NbdClient> {
    return NbdClient.connect({ path: join(this.state, 'nbd.sock') }, { export: name })
  }

  async close(): Promise<void> {
    for (const program of [this.primary, ...this.agents]) await program?.kill()
    removeFolder(this.folder)
  }
}

/** Writes blocks from 0 on, some at a time. */
async function writeBlocks(client: NbdClient, count: number, value: number): Promise<void> {
  for (let at = 0; at < count; at += 128) {
    const some = Array.from({ length: Math.min(128, count - at) }, (_, index) =>
      client.write(((at + index) * BLOCK_BYTES) % DEVICE_BYTES, Buffer.alloc(BLOCK_BYTES, value)),
    )
    await Promise.all(some)
  }
}

test('[CFG-18] the worked example with a wrong word in it is refused by name, and leaves nothing', async (t) => {
  const example = new Example()
  t.after(() => example.close())
  for (const number of [0, 1]) file(example.path(`ld${number}`), DEVICE_BYTES)
  const before = readdirSync(example.folder)
  for (const [text, status, about] of [
    [example.literal.replace('bm0', 'rd0'), 64, /rd0 is in use already: the device and its dirty log/],
    [example.withAgents.replace('auto', 'opne'), 64, /line 1: "opne" is no open mode: auto, open, create \(EINVAL\)/],
    [example.withAgents.replace('ld1 nolog', 'missing nolog'), 66, /missing/],
    [example.withAgents.replace('auto 262144', 'open').replace('ringbuffer 4', 'ringbuffer 3'), 64, /no group/],
  ] as const) {
    const result = await example.run(['table', '--load', '-'], text)
    assert.equal(result.status, status, result.stderr)
    assert.match(result.stderr, about)
    assert.deepEqual(readdirSync(example.folder), before)
  }
})

test('[DEV-02] [CFG-23] [CFG-16] [STA-06] [FB-01] [MSG-02] the worked example of the specification, from the table to a site that has fallen behind and back', async (t) => {
  const example = new Example()
  t.after(() => example.close())
  for (const number of [1, 2]) {
    await example.makeAgent(number)
    example.startAgent(number)
  }
  for (const number of [0, 1]) file(example.path(`ld${number}`), DEVICE_BYTES)
  writeFileSync(example.path('table'), example.withAgents)
  assert.match(await example.must(['table', '--load', 'table']), /^made group .*\nadded slink 1: /)

  const { folder } = example
  const printed = [
    `group: 0 1 replicator ringbuffer 2 ${folder}/log 0 blockdev 2 0 asynchronous` +
      ` agent 5 1 tcp://${hostOf(1)}:7373 asynchronous ios 10000 agent 3 2 tcp://${hostOf(2)}:7373 synchronous`,
    ...[0, 1].map(
      (number) =>
        `dev${number}: 0 ${SECTORS} replicator-dev group ${number} 0 1 ${folder}/ld${number} nolog 0` +
        ` 1 1 rd${number} disk 3 ${folder}/bm${number} 4096 nosync 2 1 rd${number}b core 2 4096 sync`,
    ),
  ].join('\n')
  assert.equal(await example.must(['table']), `${printed}\n`)
  assert.equal(await example.must(['table', '--load', '-'], printed), 'nothing was to be done\n')

  await example.startPrimary()
  const device = (number: number): RegExp =>
    new RegExp(
      `^dev${number}: 0 ${SECTORS} replicator-dev group ${number} 0:A,- 1:A,${REGIONS}/${REGIONS} 2:A,${REGIONS}/${REGIONS}$`,
    )
  const idle = /^group: 0 1 replicator 0:A,0,0s,0ms 1:A,0,0s,0ms 2:A,0,0s,0ms 0\/0s\/262144s$/
  await example.until('site 2 to be filled', idle, device(0), device(1))
  assert.equal(await example.must(['table', '--load', '-'], example.withAgents), 'nothing was to be done\n')
  assert.equal((await example.must(['status', '--dm'])).split('\n').length, 4)

  const other = [`0 1 replicator ringbuffer 4 log 8 create 4096 blockdev 1 0`, join(folder, 'second')] as const
  const second = await runCommand(primaryProgram, ['table', '--load', '-', '--discard-entries', '--state', other[1]], {
    cwd: folder,
    input: other[0],
  })
  assert.equal(second.status, 75, second.stderr)
  assert.match(second.stderr, /log.*(in use|another)/)
  assert.equal(existsSync(other[1]), false)

  await example.agents[1]?.kill()
  const client = await example.connect('dev0')
  await writeBlocks(client, 10_000, 1)
  await example.until('10,000 entries to be outstanding', / 1:A,10000,80000s,\d+ms 2:A,0,0s,0ms /)
  await writeBlocks(client, 1, 2)
  await example.until('the 10,001st entry to force site 1', / 1:S,10001,80008s,\d+ms /)
  // Nobody waits for a site that makes no progress for longer than its hold time.
  await writeBlocks(client, 300, 3)
  example.startAgent(1)
  await example.until('site 1 to be back and everything to be there', idle, device(0), device(1))

  await example.must(['message', '0', 'device', 'del', '2'])
  await example.must(['message', '1', 'device', 'del', '2'])
  await example.must(['message', 'group', 'slink', 'del', '2'])
  await writeBlocks(client, 20, 4)
  await example.must(['message', 'group', 'slink', 'add', 'agent', '3', '2', `tcp://${hostOf(2)}:7373`, 'sync'])
  await example.must(['message', '0', 'device', 'add', 'group', '0', '2', '1', 'rd0b', 'core', '2', '4096', 'sync'])
  await example.must(['message', '1', 'device', 'add', 'group', '1', '2', '1', 'rd1b', 'core', '1', '4096'])
  await example.until('the site that was added to be filled', idle, device(0), device(1))
  assert.equal(await example.must(['table']), `${printed}\n`, 'it is as the table was')
  await client.flush()
  await client.disconnect()

  const report = await example.primary?.stop()
  assert.deepEqual(report, { status: 0, signal: null })
  assert.equal(await example.must(['table']), `${printed}\n`)
  for (const program of example.agents) await program?.stop()
  for (const number of [0, 1]) {
    const local = readFileSync(example.path(`ld${number}`))
    for (const remote of [`rd${number}`, `rd${number}b`])
      assert.ok(readFileSync(example.path(remote)).equals(local), remote)
  }
})

test('[CFG-02] [DEV-15] [STA-06] the worked example to the letter: block devices for sites, of which one is not there yet', async (t) => {
  const example = new Example()
  t.after(() => example.close())
  for (const number of [0, 1]) {
    file(example.path(`ld${number}`), DEVICE_BYTES)
    file(example.path(`rd${number}`), DEVICE_BYTES)
  }
  file(example.path('rd0b'), DEVICE_BYTES)
  assert.match(await example.must(['table', '--load', '-'], example.literal), /added slink 2: devices of this host/)
  const printed = await example.must(['table'])
  assert.equal(await example.must(['table', '--load', '-'], printed), 'nothing was to be done\n')
  await example.startPrimary(['--probe', '200ms'])
  const { folder } = example
  await example.until(
    'the missing device to be named',
    /^group: /,
    /^dev0: /,
    new RegExp(`^dev1: .* 1:A,\\d+/\\d+ 2:RW,\\d+/\\d+,${folder}/rd1b$`),
  )
  file(example.path('rd1b'), DEVICE_BYTES)
  const whole = `1:A,${REGIONS}/${REGIONS} 2:A,${REGIONS}/${REGIONS}$`
  await example.until(
    'site 2 to be filled',
    /^group: /,
    new RegExp(`^dev0: .* ${whole}`),
    new RegExp(`^dev1: .* ${whole}`),
  )
  const client = await example.connect('dev0')
  await writeBlocks(client, 100, 7)
  await client.flush()
  await example.until('both sites to have it', /^group: 0 1 replicator 0:A,\S+ 1:A,0,0s,0ms 2:A,0,0s,0ms /)
  for (const name of ['rd0', 'rd0b'])
    assert.deepEqual(
      readFileSync(example.path(name)).subarray(0, 100 * BLOCK_BYTES),
      Buffer.alloc(100 * BLOCK_BYTES, 7),
    )
})
