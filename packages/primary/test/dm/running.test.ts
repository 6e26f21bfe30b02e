/** Tables and messages at a running group: what they do, what they refuse, and that a refusal has changed nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, MIB } from '../group/group-world.js'
import { AGENT, DmWorld, LOCAL } from './dm-world.js'

const D0 = 'd0: 0 4096 replicator-dev group 0 0 1 /dev/0 nolog 0'
const D1 = 'd1: 0 2048 replicator-dev group 1 0 1 /dev/1 nolog 0'

const numbers = (dm: DmWorld): number[] => dm.world.config.current.slinks.map((slink) => slink.number)

test('[CFG-01] [DEV-01] a group with slink 0 alone prints as such, and its devices pass data through the log', async () => {
  const dm = await DmWorld.running()
  assert.equal(dm.table, [`group: ${LOCAL}`, D0, D1].join('\n'))
  const [group = '', first] = await dm.status()
  assert.match(group, /^group: 0 1 replicator 0:A,0,0s,0ms 0\/0s\/4096s$/)
  assert.equal(first, 'd0: 0 4096 replicator-dev group 0 0:A,-')
  await dm.world.ok(dm.world.write(0, 0, bytes(4096, 7)))
  assert.deepEqual(await dm.world.read(0, 0, 4096), bytes(4096, 7))
  assert.equal(dm.world.group.writePath.lastLsn, 1, 'it went through the log')
})

test('[CFG-02] [DEV-02] [STA-06] a table brings slinks, devices and copies, and a second time changes nothing', async () => {
  const dm = await DmWorld.running()
  dm.world.disks.addDevice('/dev/9', MIB)
  const text = [
    `${LOCAL} agent 5 5 ${AGENT} asynchronous ios 10000 agent 6 1 ${AGENT},tcp://b:2 sync+stall hold 5s rate=1m`,
    `${D0} 1 1 r0 disk 3 - 2048 nosync 5 1 r0 core 1 2048`,
    'nine: 0 2048 replicator-dev group 9 0 1 /dev/9 nolog 0 5 1 r9 core 2 2048 nosync',
  ].join('\n')
  const planned = await dm.load(text, true)
  assert.deepEqual(numbers(dm), [], 'a dry run does nothing')
  const write = dm.world.write(0, 0, bytes(4096, 1))
  assert.deepEqual(await dm.load(text), planned)
  assert.deepEqual(planned, [
    `added slink 5: ${AGENT}`,
    `added slink 1: ${AGENT}, tcp://b:2`,
    'added device 9 "nine": /dev/9',
    'mapped device 0 to "r0" of slink 1',
    'mapped device 0 to "r0" of slink 5',
    'mapped device 9 to "r9" of slink 5',
  ])
  await dm.world.ok(write, dm.world.write(9, 0, bytes(4096, 2)))
  assert.deepEqual(numbers(dm), [1, 5])
  assert.match((await dm.status())[0] ?? '', / 0:A,\S+ 1:A,\S+ 5:A,\S+ /, 'every slink has its number')
  assert.deepEqual(await dm.load(text), [])
  const { table } = dm
  assert.deepEqual(await dm.load(table), [], 'and what is printed is what is there')
  await dm.restart()
  assert.equal(dm.table, table)
  assert.deepEqual(await dm.world.read(9, 0, 4096), bytes(4096, 2))
})

test('[CFG-23] [MSG-15] what tables and messages change is there after a restart, what lasts as long as the daemon is not', async () => {
  const dm = await DmWorld.running()
  await dm.load(`${LOCAL} agent 2 1 ${AGENT}`)
  await dm.message('0', 'device', 'add', 'group', '0', '1', '1', 'r0', 'disk', '3', '-', '2048', 'nosync')
  await dm.message('group', 'slink', 'message', '1', 'fallbehind', 'size=1m')
  await dm.message('group', 'slink', 'message', '1', 'policy', 'async+stall')
  await dm.message('group', 'slink', 'add', 'agent', '2', '3', AGENT)
  await dm.message('group', 'statistics', 'on')
  await dm.message('group', 'stop', 'all')
  const { table } = dm
  assert.match(table, / agent 5 1 tcp:\/\/nowhere:1 asynchronous\+stall size 1m agent 3 3 /)
  await dm.restart()
  assert.equal(dm.table, table)
  assert.equal(dm.world.group.state, 'running')
  assert.doesNotMatch((await dm.status())[0] ?? '', /nc=/)
  await dm.world.ok(dm.world.write(0, 0, bytes(512, 1)))
})

test('[DEV-06] [DEV-08] [DEV-12] [DEV-18] a line with one wrong word undoes what the others had brought', async () => {
  const dm = await DmWorld.running()
  dm.world.disks.addDevice('/dev/8', MIB)
  dm.world.disks.addDevice('/dev/9', MIB)
  const eight = 'replicator-dev group 8 0 1 /dev/8 nolog 0'
  const nine = '0 2048 replicator-dev group 9 0 1'
  const good = `${LOCAL} agent 2 1 ${AGENT}\n0 2048 ${eight} 1 1 r8 core 1 2048\n`
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [`${nine} /dev/9 nolog 0 surplus`, 'DM_TABLE', /"surplus" begins a device tuple/],
    [`${nine} /dev/9 nolog 0 1 1 r9 core 1 2048 word too many`, 'DM_TABLE', /"word"/],
    [`${nine} /dev/8 nolog 0`, 'DEVICE_PATH_USED', /\/dev\/8 is in use already: device 8/],
    [`${nine} /log nolog 0`, 'DEVICE_PATH_USED', /the log/],
    [`${nine} /dev/9 nolog 0 2 1 r9 core 1 2048`, 'SLINK_UNKNOWN', /no slink 2/],
    [`${nine} /dev/9 nolog 0 1 1 r8 core 1 2048`, 'MAP_REMOTE_USED', /"r8"/],
    [`${nine} /dev/9 nolog 0 1 1 r9 core 1 4096`, 'REGION_SIZE', /not larger than the device|larger/],
    [`${nine} /dev/missing nolog 0`, 'DISK_MISSING', /\/dev\/missing/],
    ['0 2049 replicator-dev group 9 0 1 /dev/9 nolog 0', 'DM_TABLE', /"2049" sectors are more than \/dev\/9 has: 2048/],
    [`d0: ${nine} /dev/9 nolog 0`, 'DEVICE_NAME_TAKEN', /"d0"/],
    [`other: 0 4096 replicator-dev group 0 0 1 /dev/0 nolog 0`, 'DM_TABLE', /"other" is not the name/],
    ['0 4096 replicator-dev group 0 0 1 /dev/1 nolog 0', 'DEVICE_EXISTS', /device 0 is there already: \/dev\/0/],
    ['0 4088 replicator-dev group 0 0 1 /dev/0 nolog 0', 'DM_TABLE', /"4088" is not the length/],
  ]
  for (const [line, code, about] of cases) {
    const refusal = await dm.refused(() => dm.load(good + line))
    assert.equal(refusal.code, code, `${line}: ${refusal.message}`)
    assert.match(refusal.message, about)
    assert.deepEqual([...dm.world.group.slinks.keys()], [])
    assert.equal(dm.world.group.exports.size, 2)
  }
  await dm.load(good)
  assert.equal(dm.world.group.exports.size, 3, 'the rest of the table was right')
})

test('[CFG-17] [CFG-16] what does not fit the group that is there is refused by its word', async () => {
  const dm = await DmWorld.running()
  await dm.load(`${LOCAL} agent 2 1 ${AGENT}\n${D0} 1 1 r0 core 1 2048`)
  const control = (words: string): string => `0 1 replicator ringbuffer ${words} agent 2 1 ${AGENT}`
  for (const [text, code, about] of [
    [control('2 /other 0 blockdev 1 0'), 'DM_TABLE', /"\/other" is not the log.*EINVAL/],
    [control('2 /log 8 blockdev 1 0'), 'DM_TABLE', /"8" is not where the log begins.*EINVAL/],
    [control('4 /log 0 create 4096 blockdev 1 0'), 'DM_TABLE', /"create" would destroy.*EPERM/],
    [control('2 /log 0 blockdev 4 0 async ios 10'), 'DM_UNSUPPORTED', /limit of slink 0/],
    [`${LOCAL} blockdev 1 1`, 'SLINK_POLICY', /slink 1 is of type agent and stays so/],
    [`${LOCAL} agent 2 1 carrier:pigeon`, 'ADDRESS', /carrier/],
    [LOCAL, 'SLINK_HAS_DEVICES', /slink 1 still has devices 0/],
    [`${D0} 1 1 other core 1 2048`, 'MAP_EXISTS', /mapped to slink 1 already/],
    [`${D0} 1 1 r0 core 1 4096`, 'MAP_EXISTS', /mapped to slink 1 already/],
  ] as const) {
    const refusal = await dm.refused(() => dm.load(text))
    assert.equal(refusal.code, code, `${text}: ${refusal.message}`)
    assert.match(refusal.message, about)
  }
  assert.deepEqual(await dm.load(control('4 /log 0 auto 9999 blockdev 2 0 stall')), [], 'a size is that of the log')
  assert.deepEqual(await dm.load(`${LOCAL}\n${D0}`), ['unmapped device 0 from slink 1', 'deleted slink 1'])
  assert.equal(dm.table, [`group: ${LOCAL}`, D0, D1].join('\n'))
})

test('[CFG-19] the group itself has no endpoint for data', async () => {
  const dm = await DmWorld.running()
  await dm.load(`control: ${LOCAL}\nd0: 0 4096 replicator-dev control 0 0 1 /dev/0 nolog 0`)
  assert.deepEqual([...dm.world.group.exports.values()].map(({ name }) => name).sort(), ['d0', 'd1'])
})

test('[DEV-14] a copy begins dirty with sync and without a word, and clean with nosync', async () => {
  const dm = await DmWorld.running()
  await dm.load(
    [
      `${LOCAL} agent 2 1 ${AGENT} agent 2 2 ${AGENT} agent 2 3 ${AGENT} agent 2 4 ${AGENT}`,
      `${D0} 1 1 r0 core 2 2048 sync 2 1 r0 disk 3 - 2048 nosync 3 1 r0 disk 2 - 2048 4 1 r0 core 1 2048`,
    ].join('\n'),
  )
  assert.equal((await dm.status())[1], 'd0: 0 4096 replicator-dev group 0 0:A,- 1:W,0/2 2:W,2/2 3:W,0/2 4:W,0/2')
})

test('[MSG-01] [LIFE-08] the group and with all its devices are stopped and started, also twice', async () => {
  const dm = await DmWorld.running()
  const { world } = dm
  for (const stop of ['stop', 'suspend', 'postsuspend'] as const) {
    await dm.message('group', stop, 'all')
    await dm.message('group', stop)
    const writes = [world.write(0, 0, bytes(512, 1)), world.write(1, 0, bytes(512, 1))]
    await world.clock.advance(1000)
    assert.deepEqual(
      writes.map((write) => write.answered),
      [false, false],
    )
    await dm.message('group', 'resume')
    await world.clock.advance(1000)
    assert.deepEqual(
      writes.map((write) => write.answered),
      [false, false],
      'the devices were stopped by themselves',
    )
    await dm.message(world.config.current.uuid, 'start', 'all')
    await dm.message('group', 'start', 'a')
    await world.ok(...writes)
  }
  assert.equal((await dm.refused(() => dm.message('group', 'start', 'all', 'more'))).errno, 'EINVAL')
  assert.equal((await dm.refused(() => dm.message('group', 'start', 'some'))).word, 'some')
})

test('[MSG-12] [LIFE-03] one device is stopped and started, and the others go on', async () => {
  const dm = await DmWorld.running()
  const { world } = dm
  await dm.message('1', 'suspend')
  const held = world.write(1, 0, bytes(512, 1))
  await world.ok(world.write(0, 0, bytes(512, 1)))
  assert.equal(held.answered, false)
  await dm.message('d1', 'resume')
  await world.ok(held)
})

test('[MSG-03] [MSG-05] [MSG-13] [CFG-11] wrong, empty, ambiguous and superfluous words are refused and do nothing', async () => {
  const dm = await DmWorld.running()
  await dm.load(`${LOCAL} agent 2 1 ${AGENT}`)
  const group = (...words: string[]): readonly string[] => ['group', ...words]
  const cases: readonly (readonly [readonly string[], string, string | null])[] = [
    [group(), 'EINVAL', null],
    [group(''), 'EINVAL', ''],
    [group('s'), 'EINVAL', 's'],
    [group('bogus'), 'EINVAL', 'bogus'],
    [group('START'), 'EINVAL', 'START'],
    [group('slink'), 'EINVAL', null],
    [group('slink', ''), 'EINVAL', ''],
    [group('slink', 'add', 'agent', '2', '0', AGENT), 'EINVAL', 'agent'],
    [group('slink', 'add', 'blockdev', '1', '0'), 'EPERM', '0'],
    [group('slink', 'add', 'agent', '2', '2048', AGENT), 'EINVAL', '2048'],
    [group('slink', 'add', 'agent', '2', 'x', AGENT), 'EINVAL', 'x'],
    [group('slink', 'add', 'agent', '2', '2', AGENT, 'more'), 'EINVAL', 'more'],
    [group('slink', 'add', 'foo', '2', '2', AGENT), 'ENOENT', 'foo'],
    [group('slink', 'del', '0'), 'EINVAL', '0'],
    [group('slink', 'del', 'x'), 'EINVAL', 'x'],
    [group('slink', 'del', '1', '2'), 'EINVAL', '2'],
    [group('slink', 'message', '1'), 'EINVAL', null],
    [group('slink', 'message', '1', 'bogus'), 'EINVAL', 'bogus'],
    [group('statistics'), 'EINVAL', null],
    [group('statistics', 'o'), 'EINVAL', 'o'],
    [group('statistics', 'on', 'off'), 'EINVAL', 'off'],
    [group('replog'), 'EINVAL', null],
    [group('replog', 'resize'), 'EINVAL', null],
    [group('replog', 'resize', '4095'), 'EINVAL', '4095'],
    [group('replog', 'resize', 'big'), 'EINVAL', 'big'],
    [['0'], 'EINVAL', null],
    [['0', ''], 'EINVAL', ''],
    [['0', 'device', 'del', '0'], 'EINVAL', '0'],
    [['0', 'device', 'del'], 'EINVAL', null],
    [['0', 'device', 'add', 'group', '0'], 'EINVAL', null],
    [['0', 'device', 'add', 'other', '0'], 'ENOENT', 'other'],
    [['0', 'device', 'add', 'group', '1', '1', '1', 'r', 'core', '1', '2048'], 'EINVAL', '1'],
    [['0', 'device', 'add', 'group', '0', '1', '1', 'r', 'nolog', '0'], 'EINVAL', 'nolog'],
    [['0', 'start', 'all'], 'EINVAL', 'all'],
    [['nobody', 'start'], 'ENOENT', 'nobody'],
  ]
  for (const [[target = '', ...words], errno, word] of cases) {
    const refusal = await dm.refused(() => dm.message(target, ...words))
    const said = `${target} ${words.join(' ')}: ${refusal.message}`
    assert.equal(refusal.code, 'DM_MESSAGE', said)
    assert.deepEqual([refusal.errno, refusal.word], [errno, word], said)
  }
  for (const [words, code] of [
    [['slink', 'add', 'agent', '2', '1', AGENT], 'SLINK_EXISTS'],
    [['slink', 'del', '9'], 'SLINK_UNKNOWN'],
    [['slink', 'message', '9', 'policy', 'sync'], 'SLINK_UNKNOWN'],
  ] as const)
    assert.equal((await dm.refused(() => dm.message('group', ...words))).code, code, words.join(' '))
  assert.equal((await dm.refused(() => dm.message('7', 'start'))).code, 'DEVICE_UNKNOWN')
})

test('[MSG-04] [MSG-06] [MSG-07] [MSG-11] [FB-09] [FB-11] messages add, change and delete slinks and copies, and keep what they refuse to change', async () => {
  const dm = await DmWorld.running()
  const slink = (): unknown => {
    const [one] = dm.world.config.current.slinks
    return [one?.mode, one?.overflow, one?.ack, one?.fallBehind]
  }
  await dm.message('group', 'slink', 'add', 'agent', '4', '1', AGENT, 'async', 'ios=3')
  await dm.message('0', 'device', 'add', 'group', '0', '1', '1', 'r0', 'core', '2', '2048', 'nosync')
  const limits = async (...words: string[]): Promise<unknown> => {
    await dm.message('group', 'slink', 'message', '1', 'fallbehind', ...words)
    return dm.world.config.current.slinks[0]?.fallBehind
  }
  assert.deepEqual(await limits('SIZE=2k'), { ios: 0, bytes: 2048, timeoutMs: 0 })
  assert.deepEqual(await limits('timeout', '2s'), { ios: 0, bytes: 0, timeoutMs: 2000 })
  assert.deepEqual(await limits('ios=2', 'size', '1m', 'timeout=1h'), { ios: 2, bytes: MIB, timeoutMs: 3_600_000 })
  const shared = { ios: 2, bytes: 0, timeoutMs: 0, resumePercent: 60 }
  assert.deepEqual(await limits('resume=60', 'ios=2'), shared)
  assert.match(dm.table, / asynchronous ios 2 resume 60\n/)
  await dm.load(dm.table)
  assert.deepEqual(dm.world.config.current.slinks[0]?.fallBehind, shared, 'the table that was printed keeps it')
  assert.deepEqual(await limits('ios=2'), { ios: 2, bytes: 0, timeoutMs: 0 }, 'what is not named is not there')
  const before = slink()
  for (const [words, code] of [
    [['fallbehind'], 'DM_MESSAGE'],
    [['fallbehind', 'resume=60'], 'DM_MESSAGE'],
    [['fallbehind', 'ios=2', 'resume=101'], 'DM_MESSAGE'],
    [['fallbehind', 'ios=1', 'ios=2'], 'DM_MESSAGE'],
    [['fallbehind', 'ios=10k'], 'DM_MESSAGE'],
    [['fallbehind', 'hold=10'], 'DM_MESSAGE'],
    [['fallbehind', 'size=1w'], 'DM_MESSAGE'],
    [['policy'], 'DM_MESSAGE'],
    [['policy', 'foo'], 'DM_MESSAGE'],
    [['policy', 'sync+async'], 'DM_MESSAGE'],
    [['policy', 'sync', 'stall'], 'DM_MESSAGE'],
    [['policy', 'synchronous'], 'SLINK_POLICY'],
  ] as const) {
    assert.equal((await dm.refused(() => dm.message('group', 'slink', 'message', '1', ...words))).code, code)
    assert.deepEqual(slink(), before)
  }
  assert.deepEqual(await limits('ios=0'), { ios: 0, bytes: 0, timeoutMs: 0 })
  await dm.message('group', 'slink', 'message', '1', 'POL', 'sync+stall+durable')
  assert.deepEqual(slink(), ['sync', 'stall', 'durable', { ios: 0, bytes: 0, timeoutMs: 0 }])
  assert.equal(
    (await dm.refused(() => dm.message('group', 'slink', 'message', '1', 'fall', 'ios=5'))).code,
    'SLINK_POLICY',
  )
  assert.equal((await dm.refused(() => dm.message('group', 'slink', 'del', '1'))).code, 'SLINK_HAS_DEVICES')
  assert.equal((await dm.refused(() => dm.message('1', 'device', 'del', '1'))).code, 'MAP_UNKNOWN')
  await dm.message('0', 'device', 'del', '1')
  await dm.message('group', 'slink', 'del', '1')
  assert.deepEqual(numbers(dm), [])
  assert.equal(dm.world.group.slinks.size, 0)
  await dm.world.ok(dm.world.write(0, 0, bytes(512, 1)), dm.world.flush())
})

test('[MSG-06] [SLK-13] [FB-09] a changed limit acts at once in both directions, and 0 is no limit', async () => {
  const dm = await DmWorld.running()
  await dm.load(`${LOCAL} agent 2 1 ${AGENT}\n${D0} 1 1 r0 core 2 2048 nosync`)
  for (let at = 0; at < 5; at++) await dm.world.ok(dm.world.write(0, at * 4096, bytes(4096, 1)))
  const letter = async (): Promise<unknown> => (await dm.status())[0]?.match(/ 1:(\S+) /)?.[1]
  const limit = (words: string): Promise<unknown> => dm.message('group', 'slink', 'message', '1', 'fallbehind', words)
  assert.match(String(await letter()), /^A,5,40s,/)
  for (const [words, wanted] of [
    ['ios=4', 'S'],
    ['ios=5', 'A'],
    ['size=39', 'S'],
    ['size=40', 'A'],
    ['ios=4', 'S'],
    ['ios=0', 'A'],
  ] as const) {
    await limit(words)
    assert.match(String(await letter()), new RegExp(`^${wanted},5,40s,`), words)
  }
})

test('[MSG-14] messages are whole and one after another while writes go on', async () => {
  const dm = await DmWorld.running({ latency: { writeMs: [0, 2], syncMs: [1, 3] } })
  const { world } = dm
  const writes = Array.from({ length: 50 }, (_, at) => world.write(at % 2, (at % 100) * 4096, bytes(4096, at)))
  const words = [
    ['group', 'slink', 'add', 'agent', '2', '1', AGENT],
    ['0', 'device', 'add', 'group', '0', '1', '1', 'r0', 'core', '2', '2048', 'nosync'],
    ['group', 'slink', 'message', '1', 'policy', 'async+stall'],
    ['group', 'slink', 'add', 'agent', '2', '1', AGENT],
    ['0', 'device', 'del', '1'],
    ['group', 'slink', 'del', '1'],
    ['group', 'slink', 'add', 'agent', '2', '2', AGENT],
  ]
  const seen: string[] = []
  for (const [target, ...message] of words) {
    const begun = dm.begin('message', { target, words: message, directory: '/here', insecurePlain: true })
    seen.push(
      await world.clock.runUntil(begun).then(
        () => 'done',
        (error: { code: string }) => error.code,
      ),
    )
  }
  assert.deepEqual(seen, ['done', 'done', 'done', 'SLINK_EXISTS', 'done', 'done', 'done'])
  const both = [3, 4].map((number) =>
    dm.begin('message', {
      target: 'group',
      words: ['slink', 'add', 'agent', '2', String(number), AGENT],
      directory: '/',
      insecurePlain: true,
    }),
  )
  await world.clock.runUntil(Promise.all(both))
  assert.deepEqual(numbers(dm), [2, 3, 4])
  await world.ok(...writes)
})

test('[CFG-06] [DEV-02] [DEV-06] [DEV-15] [DEV-16] [SLK-02] a blockdev slink takes paths of this host, prints and reads back, and a target that is used or too small is refused', async () => {
  const dm = await DmWorld.running()
  const { disks } = dm.world
  disks.addDevice('/targets/one', 4 * 1024 * 1024)
  disks.addDevice('/targets/small', 512 * 1024)
  const control = `${LOCAL} blockdev 4 1 asynchronous+stall ios 100 blockdev 2 7 synchronous`
  await dm.load(`${control}\n${D0} 1 1 ../targets/one core 2 2048 nosync 7 1 /targets/later disk 2 - 2048`)
  const device = `${D0} 1 1 /targets/one core 2 2048 nosync 7 1 /targets/later disk 3 - 2048 sync`
  assert.equal(dm.table, [`group: ${control}`, device, D1].join('\n'))
  assert.deepEqual(await dm.load(dm.table), [])
  for (const [path, code] of [
    ['/targets/one', 'MAP_REMOTE_USED'],
    ['/targets/later', 'DEVICE_PATH_USED'],
    ['/log', 'DEVICE_PATH_USED'],
    ['/dev/1', 'DEVICE_PATH_USED'],
    ['/targets/small', 'MAP_TARGET_SMALL'],
    [`/${'x'.repeat(300)}`, 'MAP_PATH'],
    ['8:16', 'DM_TABLE'],
  ] as const) {
    const refusal = await dm.refused(() => dm.load(`${D1} 1 1 ${path} core 1 2048`))
    assert.equal(refusal.code, code, refusal.message)
  }
  await dm.world.clock.advance(1000)
  assert.match((await dm.status()).join('\n'), / 1:A,\d+\/\d+ 7:RW,0\/\d+,\/targets\/later/)
})

test('[WR-02] [MSG-07] [MGT-01] dm words make slink 0 synchronous and name sites, and print what they made', async () => {
  const dm = await DmWorld.running()
  const sync = LOCAL.replace('asynchronous', 'synchronous')
  await dm.load(`${sync} agent 5 1 ${AGENT} asynchronous name paris`)
  assert.equal(dm.table.split('\n')[0], `group: ${sync} agent 5 1 ${AGENT} asynchronous name paris`)
  assert.deepEqual(await dm.load(dm.table), [])
  assert.deepEqual(await dm.message('group', 'slink', 'message', '0', 'policy', 'async'), ['changed slink 0'])
  assert.equal(dm.world.config.current.local.mode, 'async')
})

test('[SLK-15] a limit of slink 0 is refused, in a table and in a message, and nothing has changed', async () => {
  const dm = await DmWorld.running()
  const { table } = dm
  const limited = LOCAL.replace('blockdev 2 0 asynchronous', 'blockdev 4 0 asynchronous ios 10')
  assert.notEqual(limited, LOCAL)
  const loaded = await dm.refused(() => dm.load(limited))
  assert.match(`${loaded.code} ${loaded.message}`, /DM_UNSUPPORTED .*limit of slink 0/)
  const said = await dm.refused(() => dm.message('group', 'slink', 'message', '0', 'fallbehind', 'ios=1'))
  assert.equal(said.code, 'SLINK_LOCAL_KEYS')
  assert.equal(dm.table, table)
})
