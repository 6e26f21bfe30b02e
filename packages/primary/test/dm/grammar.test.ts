/** The grammar of tables: what is read as what, and every refusal with the word that it is about. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { printSlink, readPolicy, type SlinkTuple } from '../../src/dm/slink-tuple.js'
import { readLines, printWords } from '../../src/dm/tokens.js'
import { printBytes, printMs, readBytes, readMs, readSectors } from '../../src/dm/units.js'
import { readControl } from '../../src/dm/control-line.js'
import { pathReader } from '../../src/dm/paths.js'
import { Words } from '../../src/dm/words.js'
import { read, refusedBy } from './dm-world.js'

const log = (words: string): string => `0 1 replicator ringbuffer ${words} blockdev 1 0`
const slinks = (words: string): string => `0 1 replicator ringbuffer 2 /log 0 ${words}`
const site = (words: string): string => slinks(`blockdev 1 0 agent ${words}`)
const device = (words: string): string => `0 4096 replicator-dev group ${words}`

/** Every text is refused with this error number and names this word; null: a word is missing. */
function refuses(cases: readonly (readonly [text: string, errno: string, word: string | null, about: RegExp])[]): void {
  for (const [text, errno, word, about] of cases) {
    const refusal = refusedBy(() => read(text))
    assert.equal(refusal.code, 'DM_TABLE', text)
    assert.equal(refusal.errno, errno, `${text}: ${refusal.message}`)
    assert.equal(refusal.word, word, `${text}: ${refusal.message}`)
    assert.match(refusal.message, about, text)
    if (word !== null) assert.ok(refusal.message.includes(`"${word}"`), `${text}: ${refusal.message} names the word`)
  }
}

function slinkOf(words: string): SlinkTuple {
  const found = read(site(words)).control?.slinks[1]
  assert.ok(found !== undefined, words)
  return found
}

test('[CFG-02] slinks may have any numbers in any order, with gaps', () => {
  const { control } = read(slinks(`blockdev 1 0 agent 2 5 tcp://a:1 agent 2 1 tcp://b:1`))
  assert.deepEqual(
    control?.slinks.map((slink) => slink.number),
    [0, 5, 1],
  )
})

test('[CFG-03] [CFG-04] [CFG-05] [CFG-06] [CFG-07] [CFG-08] [CFG-20] a control line that is wrong is refused, and says which word', () => {
  refuses([
    [slinks('agent 2 1 tcp://a:1 blockdev 1 0'), 'EINVAL', '1', /slink 0.*comes first/],
    [slinks('blockdev 1 0 blockdev 1 1 agent 2 1 tcp://a:1'), 'EEXIST', '1', /two slinks/],
    ['0 1 replicator foo 2 /log 0 blockdev 1 0', 'ENOENT', 'foo', /log type/],
    [slinks('foo 1 0'), 'ENOENT', 'foo', /slink type/],
    [slinks('block 1 0'), 'ENOENT', 'block', /slink type/],
    ['0 1 replicator ringbuffer two /log 0 blockdev 1 0', 'EINVAL', 'two', /count of log parameters/],
    [log('1 /log'), 'EINVAL', '1', /below 2/],
    [log('5 /log 0 auto 4096 8'), 'EINVAL', '5', /above 4/],
    [log('-2 /log 0'), 'EINVAL', '-2', /negative/],
    ['0 1 replicator ringbuffer 4 /log 0', 'EINVAL', '4', /2 words are left/],
    ['0 1 replicator ringbuffer 2 /log 0', 'EINVAL', null, /slinks are missing/],
    ['0 1 replicator ringbuffer 2', 'EINVAL', null, /too few words/],
    ['0 1 replicator', 'EINVAL', null, /too few words/],
    ['0 1 linear /dev/a 0', 'EINVAL', 'linear', /target type/],
    ['8 1 replicator ringbuffer 2 /log 0 blockdev 1 0', 'EINVAL', '8', /should be 0/],
    ['x 1 replicator ringbuffer 2 /log 0 blockdev 1 0', 'EINVAL', 'x', /start/],
    ['0', 'EINVAL', null, /length is missing/],
    [`${log('2 /log 0')}\n${log('2 /log 0')}`, 'EEXIST', 'replicator', /one group/],
  ])
  assert.match(refusedBy(() => read('# nothing\n\n')).message, /table: it is empty/)
  assert.match(refusedBy(() => read(`\n# comment\n${slinks('foo 1 0')}`)).message, /^line 3: "foo"/)
})

test('[CFG-09] the mode decides on the size: none is open, auto and create need it, open has none', () => {
  const modes = (words: string): unknown => {
    const { mode, sizeBytes, startBytes } = read(log(words)).control?.log ?? {}
    return [mode, sizeBytes, startBytes]
  }
  assert.deepEqual(modes('2 /log 0'), ['open', null, 0])
  assert.deepEqual(modes('3 /log 16 open'), ['open', null, 8192])
  assert.deepEqual(modes('4 /log 0 auto 4096'), ['auto', 4096 * 512, 0])
  assert.deepEqual(modes('4 /log 0 create 8192'), ['create', 8192 * 512, 0])
  assert.deepEqual(modes('4 /log 0 a 8192'), ['auto', 8192 * 512, 0])
  refuses([
    [log('3 /log 0 auto'), 'EINVAL', 'auto', /needs the size/],
    [log('3 /log 0 create'), 'EINVAL', 'create', /needs the size/],
    [log('4 /log 0 open 4096'), 'EINVAL', '4096', /does not take/],
  ])
})

test('[CFG-10] [CFG-11] [CFG-12] [CFG-14] [CFG-22] open modes, sizes and offsets are whole words within their bounds, and none is too many', () => {
  refuses([
    [log('4 /log 0 opne 4096'), 'EINVAL', 'opne', /open mode: auto, open, create/],
    [log('4 /log 0 OPEN 4096'), 'EINVAL', 'OPEN', /open mode/],
    [log('4 /log 0 auto 4095'), 'EINVAL', '4095', /below 4096/],
    [log('4 /log 0 auto 12x'), 'EINVAL', '12x', /"x" follows the number/],
    [log('4 /log 0 auto 0x2000'), 'EINVAL', '0x2000', /follows the number/],
    [log('2 /log 12x'), 'EINVAL', '12x', /"x" follows/],
    [log('2 /log -8'), 'EINVAL', '-8', /negative/],
    [log('2 /log 7'), 'EINVAL', '7', /multiple of 8/],
    [log('2 /log 99999999999999999999'), 'EINVAL', '99999999999999999999', /too large/],
    [slinks('blockdev 5 0 asynchronous ios 10 more'), 'EINVAL', 'more', /kind of limit/],
    [slinks('blockdev 5 0 asynchronous ios 10 ios=1'), 'EINVAL', 'ios', /twice/],
    [slinks('blockdev 1 0 surplus'), 'ENOENT', 'surplus', /slink type/],
  ])
  assert.equal(read(log('4 /log 0 auto 4096')).control?.log.sizeBytes, 2 * 1024 * 1024)
  // No text has an empty word in it; whoever hands over words may.
  const whole = ['ringbuffer', '4', '/log', '0', 'auto', '4096', 'blockdev', '2', '0', 'asynchronous']
  for (const place of [0, 4, 6, 9]) {
    const words = whole.map((word, at) => (at === place ? '' : word))
    assert.throws(() => readControl(new Words(words), (word) => word), /empty word/, whole[place])
  }
  const path = pathReader('/here')
  assert.throws(() => path('253:4'), /"253:4" is a pair of device numbers/)
  assert.equal(path('replog'), '/here/replog')
})

test('[SLK-01] [SLK-02] [SLK-03] policies stand alone or joined, shortened to what means one thing, and print in full', () => {
  const printed = (words: string): string => printSlink(slinkOf(words)).slice(4).join(' ')
  assert.deepEqual(slinkOf('2 1 tcp://a:1').fallBehind, { ios: 0, bytes: 0, timeoutMs: 0 })
  assert.equal(printed('2 1 tcp://a:1'), 'asynchronous')
  for (const [given, wanted] of [
    ['asynchronous', 'asynchronous'],
    ['a', 'asynchronous'],
    ['synchronous', 'synchronous'],
    ['sy', 'synchronous'],
    ['stall', 'asynchronous+stall'],
    ['stall+synchronous', 'synchronous+stall'],
    ['asynchronous+st', 'asynchronous+stall'],
    ['sync+fail', 'synchronous+fail'],
    ['sync+drop', 'synchronous'],
    ['sync+dur+stall', 'synchronous+stall+durable'],
    ['async+received', 'asynchronous'],
  ] as const)
    assert.equal(printed(`3 1 tcp://a:1 ${given}`), wanted, given)
  assert.deepEqual(readPolicy('synchronous'), { mode: 'sync', overflow: 'drop', ack: 'received' })
  refuses([
    [site('3 1 tcp://a:1 s'), 'ENOENT', 's', /may mean synchronous or stall/],
    [site('3 1 tcp://a:1 d'), 'ENOENT', 'd', /may mean drop or durable/],
    [site('3 1 tcp://a:1 SYNC'), 'ENOENT', 'SYNC', /no policy/],
  ])
})

test('[SLK-04] [SLK-05] [SLK-06] [SLK-08] [SLK-12] policies and limits that do not go together, or are none, are refused', () => {
  assert.equal(slinkOf('5 1 tcp://a:1 sync ios 0').mode, 'sync', 'no limit is no limit')
  const policy = (word: string): string => site(`3 1 tcp://a:1 ${word}`)
  const limit = (words: string): string => site(`${words.split(' ').length + 3} 1 tcp://a:1 async ${words}`)
  refuses([
    [policy('async+sync'), 'EINVAL', 'async+sync', /names asynchronous and synchronous/],
    [policy('stall+fail'), 'EINVAL', 'stall+fail', /names stall and fail/],
    [policy('stall+stall'), 'EINVAL', 'stall+stall', /names stall and stall/],
    [site('5 1 tcp://a:1 sync ios 10'), 'EINVAL', 'ios', /never falls behind/],
    [policy('sync+'), 'ENOENT', 'sync+', /empty policy word/],
    [policy('+sync'), 'ENOENT', '+sync', /empty policy word/],
    [policy('foo'), 'ENOENT', 'foo', /no policy/],
    [policy('synchronousx'), 'ENOENT', 'synchronousx', /no policy/],
    [limit('ios -1'), 'EINVAL', '-1', /negative/],
    [limit('ios'), 'EINVAL', 'ios', /no value/],
    [limit('ios='), 'EINVAL', 'ios=', /no value/],
    [limit('bytes 5'), 'EINVAL', 'bytes', /kind of limit/],
    [limit('io 5'), 'EINVAL', 'io', /kind of limit/],
    [limit('size 5x'), 'EINVAL', '5x', /unit "x"/],
    [limit('timeout 5w'), 'EINVAL', '5w', /unit "w"/],
    [limit('timeout 1.5s'), 'EINVAL', '1.5', /whole number/],
    [limit('size k'), 'EINVAL', 'k', /begin with a digit/],
    [limit('ios 10k'), 'EINVAL', '10k', /"k" follows/],
  ])
})

test('[FB-11] a share to resume at is a whole percentage of limits that are there, and prints only where it is none of all', () => {
  const printed = (words: string): string =>
    printSlink(slinkOf(`${words.split(' ').length + 3} 1 tcp://a:1 a ${words}`))
      .slice(5)
      .join(' ')
  assert.equal(printed('ios 10 resume 80'), 'ios 10 resume 80')
  assert.equal(printed('RESUME=1 timeout=2s'), 'timeout 2s resume 1')
  assert.equal(printed('size 1m resume 100'), 'size 1m')
  const limit = (words: string): string => site(`${words.split(' ').length + 3} 1 tcp://a:1 async ${words}`)
  refuses([
    [limit('resume 80'), 'EINVAL', 'resume', /there is none/],
    [limit('ios 0 resume 80'), 'EINVAL', 'resume', /there is none/],
    [limit('ios 10 resume 0'), 'EINVAL', '0', /share to resume at/],
    [limit('ios 10 resume 101'), 'EINVAL', '101', /share to resume at/],
    [limit('ios 10 resume 80%'), 'EINVAL', '80%', /"%" follows/],
    [limit('ios 10 resume 80 resume=90'), 'EINVAL', 'resume', /there twice/],
    [site('7 1 tcp://a:1 sync ios 0 resume 80'), 'EINVAL', 'resume', /there is none/],
  ])
})

test('[SLK-07] [SLK-17] [SLK-18] limits are read as two words or as one, in any case, several at once, and print back', () => {
  const printed = (count: number, words: string): string =>
    printSlink(slinkOf(`${count} 1 tcp://a:1 async ${words}`))
      .slice(5)
      .join(' ')
  assert.equal(printed(5, 'ios 10000'), 'ios 10000')
  assert.equal(printed(4, 'ios=10000'), 'ios 10000')
  assert.equal(printed(5, 'SIZE 2048'), 'size 1m')
  assert.equal(printed(4, 'data=1M'), 'size 1m')
  assert.equal(printed(4, 'timeout=1500'), 'timeout 1500')
  assert.equal(printed(5, 'timeout 90s'), 'timeout 90s')
  assert.equal(printed(8, 'ios 5 size=3k timeout 2m'), 'ios 5 size 3k timeout 2m')
  assert.equal(printed(9, 'hold 4s rate 1m paused yes'), 'hold 4s rate 1m paused yes')
  const again = slinkOf('8 1 tcp://a:1 async ios 5 size=3k timeout 2m')
  assert.deepEqual(slinkOf(printSlink(again).slice(1).join(' ')), again)
  refuses([[site('7 1 tcp://a:1 async size 1k data 2k'), 'EINVAL', 'data', /twice/]])
})

test('[SLK-09] [SLK-10] [SLK-11] units mean exact numbers in either case, and what is too large is refused', () => {
  const sectors = { s: 1, k: 2, m: 2 ** 11, g: 2 ** 21, t: 2 ** 31, p: 2 ** 41, e: 2 ** 51 }
  for (const [unit, factor] of Object.entries(sectors)) {
    assert.equal(readSectors(`1${unit}`, 'amount'), factor)
    assert.equal(readSectors(`3${unit.toUpperCase()}`, 'amount'), 3 * factor)
  }
  assert.equal(readSectors('7', 'amount'), 7)
  assert.equal(readBytes('7', 'amount'), 7 * 512)
  assert.equal(readBytes('7b', 'amount'), 7)
  for (const [unit, factor] of Object.entries({ t: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 })) {
    assert.equal(readMs(`2${unit}`, 'time'), 2 * factor)
    assert.equal(readMs(`2${unit.toUpperCase()}`, 'time'), 2 * factor)
  }
  assert.equal(readMs('250', 'time'), 250)
  for (const bytes of [0, 1, 511, 512, 513, 1024, 3 * 2 ** 20, 2 ** 40, Number.MAX_SAFE_INTEGER])
    assert.equal(readBytes(printBytes(bytes), 'amount'), bytes)
  for (const ms of [0, 1, 999, 1000, 61_000, 3_600_000, 86_400_000 * 30]) assert.equal(readMs(printMs(ms), 'time'), ms)
  const limit = (words: string): string => site(`5 1 tcp://a:1 async ${words}`)
  refuses([
    [limit('size 99999e'), 'EINVAL', '99999e', /too large/],
    [limit('size 1e'), 'EINVAL', '1e', /too large/],
    [limit('timeout 999999999999d'), 'EINVAL', '999999999999d', /too large/],
    [limit('ios 99999999999999999'), 'EINVAL', '99999999999999999', /too large/],
  ])
})

test('[SLK-14] [SLK-16] slink numbers run from 0 to 2047, and a missing value takes no word of the next slink', () => {
  assert.equal(slinkOf('2 2047 tcp://a:1').number, 2047)
  refuses([
    [site('2 2048 tcp://a:1'), 'EINVAL', '2048', /above 2047/],
    [site('2 -1 tcp://a:1'), 'EINVAL', '-1', /negative/],
    [site('2 1x tcp://a:1'), 'EINVAL', '1x', /follows/],
    [site('2 0 tcp://a:1'), 'EINVAL', 'agent', /slink 0/],
    [site('1 1'), 'EINVAL', null, /address of the agent is missing/],
    [site('2 1 tcp://a:1,'), 'EINVAL', 'tcp://a:1,', /empty address/],
    [slinks('blockdev 1 0 blockdev 3 1 async ios agent 2 2 tcp://a:1'), 'EINVAL', 'ios', /no value/],
    [slinks('blockdev 1 0 blockdev 9 1 async'), 'EINVAL', '9', /2 words are left/],
    [slinks('blockdev 0 0'), 'EINVAL', '0', /below 1/],
  ])
})

test('[DEV-03] [DEV-04] [DEV-05] [DEV-07] [DEV-09] a device line that is wrong is refused, and says which word', () => {
  refuses([
    ['0 4096 replicator-dev other 0 0 1 /a nolog 0', 'ENOENT', 'other', /no replicator/],
    [device('x 0 1 /a nolog 0'), 'EINVAL', 'x', /device number/],
    [device('-1 0 1 /a nolog 0'), 'EINVAL', '-1', /negative/],
    [`${device('0 0 1 /a nolog 0')}\n${device('0 0 1 /b nolog 0')}`, 'EBUSY', '0', /two devices/],
    [device('0 0 1 /a nolog 0 1 1 r core 1 2048 1 1 r core 1 2048'), 'EBUSY', '1', /two devices/],
    [device('0 1 1 /a core 1 2048 1'), 'ENODEV', '1', /without the local device/],
    [device('0 0 1 /a core 1 2048'), 'EINVAL', 'core', /has none/],
    [device('0 0 1 /a nolog 0 1 1 r nolog 0'), 'EINVAL', 'nolog', /needs a dirty log/],
    [device('0 0 1 /a nolog 0 0 1 /b nolog 0'), 'EBUSY', '0', /local site/],
    [device('0 0 2 /a b nolog 0'), 'EINVAL', '2', /above 1/],
    [device('0 0 1 /a'), 'EINVAL', null, /too few words/],
    [device('0 0 1 /a nolog 0 1 1 r core'), 'EINVAL', '1', /1 words too few/],
  ])
})

test('[DEV-10] [DEV-11] [DEV-12] each type of dirty log has its count of words, and a region size its bounds', () => {
  const remote = (words: string): string => device(`0 0 1 /a nolog 0 1 1 r ${words}`)
  const dirty = (words: string): unknown => read(remote(words)).devices[0]?.remotes[0]
  const of = (dirtyLog: unknown, regionBytes: number, initial: string): unknown => ({
    slink: 1,
    remote: 'r',
    dirtyLog,
    regionBytes,
    initial,
  })
  assert.equal(read(device('0 0 1 /a - 0')).devices[0]?.remotes.length, 0)
  assert.deepEqual(dirty('core 1 2048'), of({ type: 'core' }, 2 ** 20, 'sync'))
  assert.deepEqual(dirty('core 2 4096 nosync'), of({ type: 'core' }, 2 ** 21, 'nosync'))
  assert.deepEqual(dirty('disk 2 - 2048'), of({ type: 'disk', path: null }, 2 ** 20, 'sync'))
  assert.deepEqual(dirty('disk 3 bm 2048 nosync'), of({ type: 'disk', path: '/here/bm' }, 2 ** 20, 'nosync'))
  refuses([
    [device('0 0 1 /a nolog 1 x'), 'EINVAL', '1', /above 0/],
    [device('0 0 1 /a - 2 x y'), 'EINVAL', '2', /above 0/],
    [remote('core 0'), 'EINVAL', '0', /below 1/],
    [remote('core 3 2048 sync x'), 'EINVAL', '3', /above 2/],
    [remote('disk 1 2048'), 'EINVAL', '1', /below 2/],
    [remote('disk 4 bm 2048 sync x'), 'EINVAL', '4', /above 3/],
    [remote('tape 1 2048'), 'ENXIO', 'tape', /dirty log type/],
    [remote('core 2 2048 synch'), 'ENXIO', 'synch', /sync, nosync/],
    [remote('core 1 1024'), 'EINVAL', '1024', /below 2048/],
    [remote('core 1 3000'), 'ENXIO', '3000', /power of two/],
    [remote(`core 1 ${2 ** 40}`), 'ENXIO', String(2 ** 40), /above 2097152/],
    [remote('core 1 2k'), 'EINVAL', '2k', /follows/],
  ])
})

test('[DEV-02] a device line brings any number of remote devices, and a name in front of it', () => {
  const [line] = read(
    'data: 0 4096 replicator-dev group 7 0 1 /a nolog 0 2 1 x core 1 2048 1 1 y disk 2 - 4096',
  ).devices
  assert.equal(line?.name, 'data')
  assert.equal(line?.number, 7)
  assert.equal(line?.sizeBytes, 2 * 1024 * 1024)
  assert.deepEqual(
    line?.remotes.map(({ slink, remote }) => [slink, remote]),
    [
      [2, 'x'],
      [1, 'y'],
    ],
  )
})

test('words are parted by blanks, a backslash takes what follows it, and lines are counted', () => {
  const lines = readLines('a  b\\ c\t\\\\\n\n  # no\nlast\\\nword end')
  assert.deepEqual(lines, [
    { number: 1, words: ['a', 'b c', '\\'] },
    { number: 4, words: ['last\nword', 'end'] },
  ])
  assert.deepEqual(readLines(printWords(['a b', '\\', 'x\ty\nz', 7]))[0]?.words, ['a b', '\\', 'x\ty\nz', '7'])
  assert.match(refusedBy(() => read(`0 1 ${'x'.repeat(5000)}`)).message, /more than 4096 characters/)
})
