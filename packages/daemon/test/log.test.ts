import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  chooseLogLevel,
  createLog,
  daemonErrors,
  EventLog,
  prettyLine,
  silentLog,
  type EventPage,
} from '../src/index.js'
import { ManualClock, settle } from './support/manual-clock.js'

function recorder(pretty: boolean): { lines: string[]; log: ReturnType<typeof createLog> } {
  const lines: string[] = []
  return { lines, log: createLog({ name: 'sitelink', level: 'info', pretty, sink: (line) => lines.push(line) }) }
}

describe('a log line', () => {
  it('is one JSON object with stable keys', () => {
    const { lines, log } = recorder(false)
    log.child({ slink: 1 }).warn('slink is behind', { lsn: 2n ** 60n, device: 0 })
    log.debug('not shown')
    assert.equal(lines.length, 1)
    const { time, pid, ...rest } = JSON.parse((lines[0] ?? '').replace('1152921504606846976', '"big"')) as Record<
      string,
      unknown
    >
    assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    assert.equal(pid, process.pid)
    assert.deepEqual(rest, {
      level: 'warn',
      name: 'sitelink',
      slink: 1,
      lsn: 'big',
      device: 0,
      message: 'slink is behind',
    })
  })

  it('has of a coded error its code and facts, of any other its stack', () => {
    const { lines, log } = recorder(false)
    const cause = new TypeError('deep')
    log.error('failed', { error: daemonErrors.create('SYSTEM_IO', { what: 'x', why: 'y' }, { cause }) })
    const { error } = JSON.parse(lines[0] ?? '') as {
      error: { code: string; facts: unknown; stack?: string; cause: { stack: string } }
    }
    assert.equal(error.code, 'SYSTEM_IO')
    assert.deepEqual(error.facts, { what: 'x', why: 'y' })
    assert.equal(error.stack, undefined)
    assert.match(error.cause.stack, /TypeError: deep/)
  })

  it('is readable on a terminal', () => {
    const { lines, log } = recorder(true)
    log.info('device added', { device: 0, path: '/dev/a b', nested: { x: 1 } })
    assert.match(
      (lines[0] ?? '').replace('\u001b[32mINFO \u001b[0m', 'green INFO'),
      /^\d\d:\d\d:\d\d\.\d{3} green INFO device added {2}device=0 path="\/dev\/a b" nested=\{"x":1\}\n$/,
    )
    log.error('evil \u001b[2J', { error: daemonErrors.create('SYSTEM_IO', { what: 'x', why: 'y' }) })
    assert.match(lines[1] ?? '', /evil \\x1b\[2J {2}error=SYSTEM_IO "x: y"\n$/)
    assert.equal(prettyLine('no JSON\n'), 'no JSON\n')
  })

  it('has a level from the option, else from the environment, else info', () => {
    assert.equal(chooseLogLevel(undefined, {}), 'info')
    assert.equal(chooseLogLevel(undefined, { SITELINK_LOG: 'debug' }), 'debug')
    assert.equal(chooseLogLevel('warn', { SITELINK_LOG: 'debug' }), 'warn')
    assert.throws(() => chooseLogLevel('loud', {}), { code: 'UNIT_INVALID' })
  })
})

describe('the event log', () => {
  const events = (capacity: number): { clock: ManualClock; log: EventLog } => {
    const clock = new ManualClock()
    return { clock, log: new EventLog(clock, silentLog(), capacity) }
  }

  it('keeps the last events, in order, and counts all', () => {
    const { log } = events(3)
    for (let n = 1; n <= 5; n += 1) log.add('info', n % 2 === 0 ? 'even' : 'odd', 'event', { n })
    const page = log.read()
    assert.deepEqual(
      page.events.map(({ seq, facts }) => [seq, facts['n']]),
      [
        [3, 3],
        [4, 4],
        [5, 5],
      ],
    )
    assert.equal(page.missed, 2)
    assert.deepEqual(log.counts(), { even: 2, odd: 3 })
    assert.equal(log.lastSeq, 5)
    assert.deepEqual(log.read(4), { events: [page.events[2]], missed: 0 })
    assert.deepEqual(log.read(5), { events: [], missed: 0 })
    assert.equal(log.read(0, 1).events[0]?.seq, 3)
  })

  it('is logged under the name of the event', () => {
    const { lines, log } = recorder(false)
    new EventLog(new ManualClock(), log).add('warn', 'slink-behind', 'slink is behind', { slink: 1 })
    assert.match(lines[0] ?? '', /"level":"warn".*"event":"slink-behind","slink":1,"message":"slink is behind"/)
  })

  it('gives a watcher each event once, and tells a slow one what it missed', async () => {
    const { log } = events(4)
    const control = new AbortController()
    const watch = log.watch(0, control.signal)
    const first = watch.next()
    await settle()
    log.add('info', 'a', 'a')
    assert.deepEqual(
      ((await first).value as EventPage).events.map(({ seq }) => seq),
      [1],
    )
    for (let n = 0; n < 10; n += 1) log.add('info', 'b', 'b')
    const page = (await watch.next()).value as EventPage
    assert.equal(page.missed, 6)
    assert.deepEqual(
      page.events.map(({ seq }) => seq),
      [8, 9, 10, 11],
    )
    const last = watch.next()
    await settle()
    control.abort()
    assert.equal((await last).done, true)
  })

  it('watched from a position of an earlier run begins with what comes next', async () => {
    const { log } = events(4)
    log.add('info', 'a', 'a')
    const watch = log.watch(1000, new AbortController().signal)
    const next = watch.next()
    await settle()
    log.add('info', 'b', 'b')
    assert.equal(((await next).value as EventPage).events[0]?.seq, 2)
  })
})
