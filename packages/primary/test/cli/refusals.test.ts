/**
 * What the verbs of `sitelink` refuse off line: a sentence, where there is one the next step, a status of sysexits, and
 * not a byte changed.
 */
import { existsSync, linkSync, readFileSync, symlinkSync, truncateSync, writeFileSync, cpSync, rmSync } from 'node:fs'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { RealClock, RealRandom } from '@sitelink/daemon'
import { NodeDiskProvider, openRingLog } from '@sitelink/storage'
import { folderOf, madeGroup, MIB, must, refused, sitelink } from './cli-world.js'

test('init refuses what it would overwrite, wherever in the range it lies, and sizes that make no sense', async (t) => {
  const folder = folderOf(t)
  const [state, log] = [join(folder, 'state'), join(folder, 'log')]
  const init = (...words: string[]): string[] => ['init', '--state', state, ...words]
  const used = Buffer.alloc(4 * MIB)
  used.write('precious', 3 * MIB)
  writeFileSync(log, used)
  await refused(
    folder,
    { status: 73, about: /log holds something already/, next: /--discard-entries/ },
    init('--log', log, '--log-size', '4m'),
  )
  await refused(
    folder,
    { status: 73, about: /log holds something already/ },
    init('--log', log, '--log-size', '2m', '--log-start', '2m'),
  )
  for (const size of ['1m']) {
    await refused(folder, { status: 64, about: /size/ }, init('--log', join(folder, 'new'), `--log-size=${size}`))
  }
  await refused(
    folder,
    { status: 64, about: /begin at byte 123/, next: /--log-start a multiple/ },
    init('--log', join(folder, 'new'), '--log-size', '2m', '--log-start', '123'),
  )
  await refused(
    folder,
    { status: 64, about: /directory|device|file/, next: /file or a block device/ },
    init('--log', folder),
  )
  await must(...init('--log', log, '--log-size', '2m'))
  assert.equal(readFileSync(log).toString('latin1', 3 * MIB, 3 * MIB + 8), 'precious', 'what lies behind the log stays')
})

test('[CFG-17] [LIFE-05] a state directory is not made twice, and a log not taken from another group', async (t) => {
  const { folder, state, log } = await madeGroup(t)
  await refused(folder, { status: 73, about: /state/ }, [
    'init',
    '--state',
    state,
    '--log',
    join(folder, 'log2'),
    '--log-size',
    '2m',
  ])
  await refused(folder, { status: 73, about: /state directory/ }, [
    'init',
    ...['--state', state, '--log', log, '--log-size', '2m'],
  ])
  const lost = join(folder, 's3')
  await refused(folder, { status: 66, about: /none/ }, [
    'init',
    ...['--state', lost, '--log', join(folder, 'none', 'x')],
  ])
  assert.equal(existsSync(lost), false, 'no directory of a failed init is left')
  await refused(folder, { status: 73, about: /log/ }, [
    'init',
    '--state',
    join(folder, 's2'),
    '--log',
    log,
    '--log-size',
    '2m',
  ])
})

test('a log that is missing, foreign, of another group or damaged stops run and the log verbs, and is left as it is', async (t) => {
  const { folder, state, log } = await madeGroup(t)
  const other = await madeGroup(t)
  const good = readFileSync(log)
  const verbs = [['log', 'ls']]
  const each = async (status: number, about: RegExp, which = verbs): Promise<void> => {
    for (const verb of which) await refused(folder, { status, about }, [...verb, '--state', state])
  }
  rmSync(log)
  await each(66, /log/)
  writeFileSync(log, Buffer.alloc(2 * MIB, 'foreign'))
  await each(65, /log/)
  writeFileSync(log, Buffer.from(good).fill(0, 0, 256 * 1024))
  await each(65, /log/)
  writeFileSync(log, readFileSync(other.log))
  await each(78, /belongs to group/, [['run'], ['log', 'check']])
  assert.match(await must('log', 'show', '--state', state), /^group +[0-9a-f-]{36}$/m)
  assert.match(await must('log', 'ls', '--state', state), /no entries/)
  rmSync(log)
  const journal = await openRingLog({
    disk: await new NodeDiskProvider().create(log, 2 * MIB),
    mode: 'create',
    rule: 'monotone',
    clock: new RealClock(),
    random: new RealRandom(),
    listener: { written() {}, durable() {}, spaceFreed() {}, failed() {}, ownerState: () => Buffer.from('{}') },
  })
  await journal.log.close()
  await each(78, /belongs to an agent/, [['run'], ['log', 'check']])
  await must('log', 'show', '--state', state)
})

test('a configuration with any wrong key is refused by name by every verb', async (t) => {
  const { folder, state } = await madeGroup(t)
  const path = join(state, 'config.json')
  const text = readFileSync(path, 'utf8')
  for (const [broken, about] of [
    [text.slice(0, text.length / 2), /config\.json/],
    [text.replace('"name": "data"', '"name": "da ta"'), /devices\[0\]\.name/],
  ] as const) {
    writeFileSync(path, broken)
    for (const verb of [['slink', 'add', '1', '--to', 'tcp://h:1', '--insecure-plain']])
      await refused(folder, { status: 78, about }, [...verb, '--state', state])
  }
})

test('[DEV-03] [DEV-04] [DEV-05] [DEV-06] device add refuses what cannot be a device, by name', async (t) => {
  const { folder, state, data } = await madeGroup(t)
  const second = join(folder, 'second.img')
  const link = join(folder, 'link')
  writeFileSync(second, Buffer.alloc(MIB))
  symlinkSync(data, link)
  const add = (...words: string[]): string[] => ['device', 'add', ...words, '--state', state]
  await refused(folder, { status: 66, about: /nowhere/ }, add('1', join(folder, 'nowhere'), '--name', 'x'))
  await refused(folder, { status: 64, about: /in use already: device 0/ }, add('1', link, '--name', 'x'))
  await refused(
    folder,
    { status: 64, about: /device 0 is there already/, next: /device ls/ },
    add('0', second, '--name', 'x'),
  )
  await refused(
    folder,
    { status: 64, about: /"data" belongs to device 0/, next: /device ls/ },
    add('1', second, '--name', 'data'),
  )
  for (const name of ['a/b']) await refused(folder, { status: 64, about: /name/ }, add('1', second, `--name=${name}`))
  for (const number of ['2147483648'])
    await refused(folder, { status: 64, about: /device number/ }, add(number, second, '--name', 'x'))
  await refused(folder, { status: 64, about: /directory|device|file/ }, add('1', folder, '--name', 'x'))
  const empty = join(folder, 'empty')
  writeFileSync(empty, '')
  await refused(folder, { status: 64, about: /empty|small|bytes/ }, add('1', empty, '--name', 'x'))
})

test('a file of the state directory is neither a device nor a dirty log, whatever its name', async (t) => {
  const { folder, state, data } = await madeGroup(t)
  const at = (...words: string[]): string[] => [...words, '--state', state]
  const [soft, hard] = [join(folder, 'soft'), join(folder, 'hard')]
  symlinkSync(join(state, 'config.json'), soft)
  linkSync(join(state, 'sitelink-state.json'), hard)
  const used = { status: 64, about: /in use already: .* of the state directory/ }
  for (const path of [join(state, 'config.json'), join(state, 'lock'), soft, hard])
    await refused(folder, used, at('device', 'add', '1', path, '--name', 'x'))
  await must(...at('slink', 'add', '1', '--to', 'tcp://127.0.0.1:1', '--insecure-plain'))
  for (const path of [hard, join(state, 'dirty', 'new')])
    await refused(
      folder,
      used,
      at('device', 'map', '0', '--slink', '1', '--remote', 'data', '--dirty-log', `disk:${path}`),
    )
  // What somebody else keeps there is free.
  cpSync(data, join(state, 'mine.img'))
  await must(...at('device', 'add', '1', join(state, 'mine.img'), '--name', 'mine'))
})

test('device add --create leaves no file behind when the device is refused', async (t) => {
  const { folder, state } = await madeGroup(t)
  await refused(folder, { status: 64, about: /there already/ }, [
    'device',
    'add',
    '0',
    join(folder, 'new'),
    '--name',
    'x',
    '--create',
    '1m',
    '--state',
    state,
  ])
})

test('[DEV-07] [DEV-08] [DEV-12] [DEV-09] map, unmap and slink verbs refuse what does not fit', async (t) => {
  const { folder, state, log, data } = await madeGroup(t)
  const at = (...words: string[]): string[] => [...words, '--state', state]
  await must(...at('slink', 'add', '1', '--to', 'tcp://127.0.0.1:1', '--insecure-plain'))
  const map = (device: string, ...words: string[]): string[] =>
    at('device', 'map', device, '--slink', '1', '--remote', 'data', ...words)
  await refused(folder, { status: 64, about: /no device 5/, next: /device ls/ }, map('5'))
  await refused(
    folder,
    { status: 64, about: /no slink 2/, next: /slink ls/ },
    at('device', 'map', '0', '--slink', '2', '--remote', 'data'),
  )
  for (const size of ['3m'])
    await refused(folder, { status: 64, about: /region size/, next: /power of two/ }, map('0', '--region-size', size))
  for (const words of [
    ['--sync', '--nosync'],
    ['--dirty-log', 'tape'],
  ])
    await refused(folder, { status: 64, about: /--(nosync|dirty-log)/, next: /device map --help/ }, map('0', ...words))
  for (const [path, use] of [
    [log, 'the log'],
    [data, 'device 0'],
  ] as const)
    await refused(
      folder,
      { status: 64, about: new RegExp(`in use already: ${use}`) },
      map('0', '--dirty-log', `disk:${path}`),
    )
  await must(...map('0', '--dirty-log', `disk:${join(folder, 'dirty')}`))
  writeFileSync(join(folder, 'two.img'), Buffer.alloc(MIB))
  await must(...at('device', 'add', '1', join(folder, 'two.img'), '--name', 'two'))
  await refused(
    folder,
    { status: 64, about: /in use already: a dirty log of slink 1/ },
    at('device', 'map', '1', '--slink', '1', '--remote', 'two', '--dirty-log', `disk:${join(folder, 'dirty')}`),
  )
  await refused(folder, { status: 64, about: /device 0 is mapped to slink 1/, next: /unmap/ }, at('device', 'del', '0'))
  for (const to of ['ftp://h:1'])
    await refused(folder, { status: 64, about: /address|tcp|scheme/i }, at('slink', 'add', '2', '--to', to))
  for (const limits of ['cows=1'])
    await refused(folder, { status: 64, about: /./ }, at('slink', 'set', '1', '--fall-behind', limits))
  await refused(
    folder,
    { status: 64, about: /sync slink/ },
    at('slink', 'set', '1', '--policy', 'sync', '--fall-behind', 'ios=1'),
  )
})

test('verbs that need a daemon say so', async (t) => {
  const { folder, state } = await madeGroup(t)
  for (const verb of [['drain']])
    await refused(folder, { status: 69, about: /daemon|running/, next: new RegExp(`run --state ${state}`) }, [
      ...verb,
      '--state',
      state,
    ])
})

test('words that a verb cannot use are refused with what would do', async (t) => {
  const { folder, state } = await madeGroup(t)
  await must('slink', 'add', '1', '--to', 'tcp://127.0.0.1:1', '--insecure-plain', '--state', state)
  for (const [words, about, next] of [
    [
      ['slink', 'add', '3000', '--to', 'tcp://h:1', '--insecure-plain'],
      /"3000" is not a slink number/,
      /whole number from 0 to 2047/,
    ],
    [['slink', 'add', '2', '--to', 'http://x:1'], /"http:\/\/x:1" .*scheme/, /tls:\/\/host:7373/],
    [['slink', 'set', '1'], /nothing to change: .*--policy or --limit/, /slink set --help/],
    [
      ['slink', 'set', '1', '--limit', '1m,22:00-06:00=2m,05:00-07:00=3m'],
      /--limit .* has two windows at 05:00/,
      /slink set --help/,
    ],
    [['slink', 'set', '1', '--fall-behind', 'ios=x'], /"x" is not a limit of writes/, /whole number of at least 0/],
  ] as const)
    await refused(folder, { status: 64, about, next }, [...words, '--state', state])
})

test('every verb has help, the non-trivial ones with examples', async () => {
  const verbs = ['device del', 'slink del', 'suspend', 'log check']
  const helps = await Promise.all(verbs.map((verb) => must(...verb.split(' '), '--help')))
  for (const [index, help] of helps.entries()) assert.match(help, /Examples?:\n.*sitelink/s, verbs[index])
})

test('an error is an object with a code under --json', async (t) => {
  const { state } = await madeGroup(t)
  const { status, stdout, stderr } = await sitelink('device', 'del', '7', '--json', '--state', state)
  assert.equal(status, 64)
  const text = stderr.trim() === '' ? stdout : stderr
  assert.match(text, /"code":\s*"DEVICE_UNKNOWN"/)
})

test('log ls, show and check say what is in the log, and check finds damage', async (t) => {
  const { folder, state, log } = await madeGroup(t)
  const at = (...words: string[]): string[] => ['log', ...words, '--state', state]
  assert.match(await must(...at('ls')), /no entries/)
  assert.deepEqual(JSON.parse(await must(...at('ls', '--json'))), [])
  const shown = JSON.parse(await must(...at('show', '--json'))) as Record<string, unknown>
  assert.equal(shown['group'], (JSON.parse(readFileSync(join(state, 'config.json'), 'utf8')) as { uuid: string }).uuid)
  assert.deepEqual([shown['appliedLsn'], shown['durableLsn'], shown['cleanStop']], [0, 0, true])
  assert.match(await must(...at('show')), /closed +cleanly/)
  const checked = JSON.parse(await must(...at('check', '--json'))) as { problems: unknown[] }
  assert.deepEqual(checked.problems, [])
  assert.match(await must(...at('check')), /^ends +at position \d+, LSN 0$/m)
  cpSync(log, join(folder, 'good'))
  const bytes = readFileSync(log)
  bytes[200] = (bytes[200] as number) ^ 1
  writeFileSync(log, bytes)
  const found = await sitelink(...at('check', '--json'))
  assert.equal(found.status, 65)
  assert.equal((JSON.parse(found.stdout) as { problems: unknown[] }).problems.length, 1)
  const human = await sitelink(...at('check'))
  assert.equal(human.status, 65)
  assert.match(human.stdout, /problem +superblock 0 is damaged/)
  bytes.fill(0x5a, 0, 256 * 1024)
  writeFileSync(log, bytes)
  // Neither of the two sends the operator to the other.
  for (const verb of ['run', 'log check']) {
    const lost = await sitelink(...verb.split(' '), '--state', state)
    assert.equal(lost.status, 65)
    assert.match(lost.stderr, /cannot be read: .*\n {2}try: restore .*full resync/, lost.stderr)
    assert.doesNotMatch(lost.stderr, /log check|sitelink run/)
  }
  truncateSync(log, 1000)
  assert.equal((await sitelink(...at('check'))).status, 65)
})
