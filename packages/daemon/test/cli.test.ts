import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import {
  action,
  createProgram,
  daemonErrors,
  examples,
  packageVersion,
  runProgram,
  StateDirectory,
  versionText,
  type CliIo,
  type SitelinkCommand,
} from '../src/index.js'
import { startChild } from './support/child.js'
import { tempDirectory } from './support/temp-directory.js'

const versions = {
  product: '1.2.3',
  formats: [
    { name: 'protocol', version: 3, floor: 1 },
    { name: 'log format', version: 2, floor: 2 },
  ],
}

async function run(
  argv: readonly string[],
  env: Record<string, string> = {},
): Promise<{ status: number; out: string; err: string }> {
  let out = ''
  let err = ''
  const io: CliIo = {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
    env,
  }
  const status = await runProgram(program(io), argv)
  return { status, out, err }
}

function program(io: CliIo): SitelinkCommand {
  const root = createProgram({ name: 'sitelink', description: 'Replicates block devices.', versions, io })
  root
    .command('status')
    .description('show the state')
    .addHelpText('after', examples(['sitelink status --state DIR', 'sitelink status --json']))
    .action(
      action(async ({ output, statePath }) =>
        output.result({ state: statePath(), lsn: 2n ** 60n }, ({ state }) => `state ${state}`),
      ),
    )
  const device = root.command('device').description('devices')
  device
    .command('add')
    .argument('<number>')
    .argument('<path>')
    .option('--name <name>')
    .action(
      action<{ name?: string }>(async ({ options, output }, number, path) =>
        output.result({ number, path, name: options.name ?? null }, JSON.stringify),
      ),
    )
  root.command('fail').action(
    action(async () => {
      throw daemonErrors.create('STATE_LOCKED', { path: '/s', program: 'sitelink', pid: 7 })
    }),
  )
  root.command('open').action(action(async ({ state, output }) => output.result((await state()).path, String)))
  root.command('bug').action(
    action(async () => {
      throw new TypeError('x')
    }),
  )
  return root
}

describe('a program', () => {
  it('takes --state and --json before and behind the command, or the state from the environment', async () => {
    assert.equal((await run(['status', '--state', '/a'])).out, 'state /a\n')
    assert.equal((await run(['--state', '/a', 'status'])).out, 'state /a\n')
    assert.equal((await run(['status'], { SITELINK_STATE: '/b' })).out, 'state /b\n')
    assert.deepEqual(JSON.parse((await run(['status', '--json', '--state', '/a'])).out), {
      state: '/a',
      lsn: '1152921504606846976',
    })
    const nested = await run(['device', 'add', '0', '/dev/x', '--name', 'data', '--state', '/a', '--json'])
    assert.deepEqual(JSON.parse(nested.out), { number: '0', path: '/dev/x', name: 'data' })
  })

  it('ends with the status of the error and says the next command', async () => {
    assert.deepEqual(await run(['fail']), {
      status: 75,
      out: '',
      err: 'sitelink: another sitelink (pid 7) holds this state directory: /s\n  try: sitelink status --state /s\n',
    })
    const json = await run(['fail', '--json'])
    assert.equal(json.status, 75)
    assert.deepEqual((JSON.parse(json.err) as { error: { code: string } }).error.code, 'STATE_LOCKED')
    assert.equal(json.out, '')
    assert.equal((await run(['bug'])).status, 70)
  })

  for (const [argv, err] of [
    [['stauts'], "sitelink: unknown command 'stauts' (Did you mean status?)\n  try: sitelink --help\n"],
    [['device', 'ad'], "sitelink: unknown command 'ad' (Did you mean add?)\n  try: sitelink device --help\n"],
    [['device', 'add', '0'], "sitelink: missing required argument 'path'\n  try: sitelink device add --help\n"],
    [['status', '--jsno'], "sitelink: unknown option '--jsno' (Did you mean --json?)\n  try: sitelink status --help\n"],
    [
      ['status', 'x'],
      "sitelink: too many arguments for 'status'. Expected 0 arguments but got 1.\n  try: sitelink status --help\n",
    ],
    [
      ['status'],
      'sitelink: no state directory: neither --state nor SITELINK_STATE is given\n  try: repeat the command with --state DIR\n',
    ],
  ] as const) {
    it(`ends with 64 for "${argv.join(' ')}" and points to the right help`, async () => {
      assert.deepEqual(await run(argv), { status: 64, out: '', err })
    })
  }

  it('ends with 64 and its help where the command is missing', async () => {
    for (const argv of [[], ['device']]) {
      const { status, out, err } = await run(argv)
      assert.equal(status, 64)
      assert.equal(out, '')
      assert.match(err, /^Usage: sitelink/)
    }
  })

  it('gives a usage error as JSON too, also when it comes before --json', async () => {
    const { status, err } = await run(['status', '--bad', '--json'])
    assert.equal(status, 64)
    assert.equal((JSON.parse(err) as { error: { code: string } }).error.code, 'USAGE')
  })

  it('prints help with shared options and examples, and versions, and ends with 0', async () => {
    const help = await run(['status', '--help'])
    assert.equal(help.status, 0)
    assert.match(help.out, /Usage: sitelink status \[options\]/)
    assert.match(help.out, /Global Options:\n.*--state <dir>/s)
    assert.match(help.out, /Examples:\n {2}\$ sitelink status --state DIR\n/)
    assert.deepEqual(await run(['--version']), {
      status: 0,
      out: 'sitelink 1.2.3\nprotocol 3 (reads 1 to 3)\nlog format 2\n',
      err: '',
    })
    assert.match((await run(['help', 'device'])).out, /Usage: sitelink device/)
  })

  it('opens the state directory that it was told', async (t) => {
    const path = join(tempDirectory(t), 's')
    assert.equal((await run(['open', '--state', path])).status, 66)
    await StateDirectory.initialise(path, { program: 'sitelink' }, async () => {})
    assert.deepEqual(await run(['open', '--state', path]), { status: 0, out: `${path}\n`, err: '' })
  })

  it('as a process prints all of a large result, and ends with the status of its error', async (t) => {
    const child = startChild(t, 'run-cli', ['large'])
    assert.equal((await child.line()).length, 1_000_000)
    assert.equal((await child.ended()).status, 0)
    const failing = startChild(t, 'run-cli', ['fail'])
    assert.equal((await failing.ended()).status, 78)
  })

  it('as a process ends quietly when its reader goes away', async (t) => {
    const child = startChild(t, 'run-cli', ['endless'])
    await child.line()
    child.process.stdout?.destroy()
    assert.deepEqual(await child.ended(), { status: 141, signal: null, stderr: '' })
  })
})

describe('the version', () => {
  it('is that of the package', () => {
    assert.match(packageVersion(new URL('../../package.json', import.meta.url)), /^\d+\.\d+\.\d+/)
    assert.equal(versionText('sitelink', { product: '1.0.0', formats: [] }), 'sitelink 1.0.0')
  })
})
