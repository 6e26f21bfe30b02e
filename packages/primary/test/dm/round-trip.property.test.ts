/**
 * Any configuration prints as a table that reads back as the same configuration: on itself it changes nothing, on a group
 * without anything it makes the same one. And any words at all are read, or refused in one way.
 *
 * `SEED` repeats a run; fast-check says the rest.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SitelinkError } from '@sitelink/daemon'
import { Prng, seedFromEnv } from '@sitelink/storage/testing'
import * as fc from 'fast-check'
import { takeStep } from '../../src/admin/steps.js'
import { checkConfig } from '../../src/config-check.js'
import type { GroupConfig, MappingConfig, SlinkConfig } from '../../src/config.js'
import { planTable } from '../../src/dm/plan.js'
import { mapError } from '../../src/error-map.js'
import { printControl } from '../../src/dm/control-line.js'
import { printSlink, type SlinkTuple } from '../../src/dm/slink-tuple.js'
import { printTable, slinksOf } from '../../src/dm/table.js'
import { BLOCKDEV_ADDRESS, isBlockdev } from '../../src/blockdev/address.js'
import { isLimited, withResume } from '../../src/slink/fall-behind.js'
import { printWords } from '../../src/dm/tokens.js'
import { read } from './dm-world.js'

const seed = seedFromEnv('dm')
const parameters = { seed: new Prng(seed).u32() | 0, numRuns: 400 }
const MIB = 1024 * 1024

const path = fc
  .string({ minLength: 1, maxLength: 12, unit: fc.constantFrom(...'ab/.:+=#-\\ \t\n"\'%ü') })
  .map((text) => `/${text}`)
const remote = fc.oneof(fc.constantFrom('data', 'r 1', '#x', '\\', 'a\tb'), fc.string({ minLength: 1, maxLength: 8 }))
const limit = (max: number): fc.Arbitrary<number> => fc.oneof(fc.constant(0), fc.nat(5000), fc.integer({ min: 1, max }))

const mapping = fc.record({
  remote: remote.filter((word) => !word.includes('\0')),
  dirtyLog: fc.oneof(
    fc.constant({ type: 'core' as const }),
    fc.record({ type: fc.constant('disk' as const), path: fc.option(path) }),
  ),
  regionBytes: fc.constantFrom(MIB, 2 * MIB, 4 * MIB),
  initial: fc.constantFrom('sync' as const, 'nosync' as const),
})

const rate = fc.oneof(fc.constant(0), fc.integer({ min: 1024, max: 2 ** 40 }))
const linkLimit = fc.record({
  bytesPerSecond: rate,
  windows: fc.uniqueArray(fc.nat(1439), { maxLength: 6 }).chain((minutes) => {
    const sorted = minutes.toSorted((a, b) => a - b)
    const pairs = sorted.flatMap((from, at) => (at % 2 === 0 && at + 1 < sorted.length ? [[from, sorted[at + 1]]] : []))
    return fc.tuple(
      ...pairs.map(([from, to]) =>
        fc.record({
          fromMinute: fc.constant(from as number),
          toMinute: fc.constant(to as number),
          bytesPerSecond: rate,
        }),
      ),
    )
  }),
})

const slink = fc.record({
  number: fc.integer({ min: 1, max: 2047 }),
  named: fc.boolean(),
  addresses: fc.oneof(
    fc.uniqueArray(fc.constantFrom('tcp://a:1', 'tcp://b:65535', 'tcp://[::1]:7373'), { minLength: 1 }),
    fc.constant([BLOCKDEV_ADDRESS]),
  ),
  mode: fc.constantFrom('sync' as const, 'async' as const),
  ack: fc.constantFrom('received' as const, 'durable' as const),
  overflow: fc.constantFrom('drop' as const, 'stall' as const, 'fail' as const),
  holdMs: fc.option(limit(10 ** 9)),
  fallBehind: fc
    .record({
      ios: limit(10 ** 9),
      bytes: limit(2 ** 50),
      timeoutMs: limit(2 ** 40),
      percent: fc.integer({ min: 1, max: 100 }),
    })
    .map(({ percent, ...limits }) => (isLimited(limits) ? withResume(limits, percent) : limits)),
  limit: linkLimit,
  resyncBytesPerSecond: limit(2 ** 40),
  resyncSharePercent: fc.integer({ min: 1, max: 90 }),
  inFlight: fc.record({ ios: limit(10 ** 9), bytes: limit(2 ** 50) }),
  compression: fc.constantFrom('off' as const, 'on' as const, 'auto' as const),
  detectMs: fc.integer({ min: 300, max: 600_000 }),
  quic: fc.constantFrom('auto' as const, 'require' as const, 'never' as const),
  paused: fc.boolean(),
  mapped: fc.array(mapping, { maxLength: 3 }),
})

const config = fc
  .record({
    log: fc.record({ path, startBytes: fc.nat(1000).map((blocks) => blocks * 4096) }),
    devices: fc.uniqueArray(
      fc.record({ number: fc.nat(2 ** 31 - 1), path, sectors: fc.integer({ min: 16384, max: 2 ** 38 }) }),
      {
        selector: (device) => device.number,
        maxLength: 4,
      },
    ),
    local: fc.record({ mode: fc.constantFrom('sync' as const, 'async' as const) }),
    slinks: fc.uniqueArray(slink, { selector: (one) => one.number, maxLength: 4 }),
  })
  .map(({ log, devices, local, slinks }): GroupConfig => {
    const made = devices.map(({ sectors, ...device }, at) => ({
      ...device,
      id: at + 1,
      name: `d.${at}`,
      sizeBytes: sectors * 512,
    }))
    return {
      uuid: '01234567-89ab-cdef-0123-456789abcdef',
      epoch: 1,
      log,
      nextDeviceId: made.length + 1,
      local,
      devices: made,
      slinks: slinks.map((one) => slinkOf(one, made.length)).sort((a, b) => a.number - b.number),
      nbd: { listen: null },
    }
  })
  // As a file would give it: plain objects.
  .map((made) => JSON.parse(JSON.stringify(made)) as GroupConfig)

type SlinkWish = Omit<SlinkConfig, 'mappings' | 'name'> & {
  readonly named: boolean
  readonly mapped: readonly Omit<MappingConfig, 'deviceId' | 'mappingId' | 'since'>[]
}

function slinkOf({ mapped, named, ...one }: SlinkWish, devices: number): SlinkConfig {
  const root = isBlockdev(one) ? '/' : ''
  const mappings = mapped.slice(0, devices).map((wish, at): MappingConfig => {
    const mappingId = (one.number * 16 + at).toString(16).padStart(16, '0')
    // Two devices cannot share a remote one.
    return { ...wish, remote: `${root}${wish.remote}${at}`, deviceId: at + 1, mappingId, since: [1, 1] }
  })
  const name = named ? `site-${one.number}` : null
  return {
    ...one,
    name,
    fallBehind: one.mode === 'sync' ? { ios: 0, bytes: 0, timeoutMs: 0 } : one.fallBehind,
    mappings,
  }
}

const empty = (from: GroupConfig): GroupConfig => ({
  ...from,
  nextDeviceId: 1,
  local: { mode: 'async' },
  devices: [],
  slinks: [],
})

/** Sizes are as printed; regions of mappings may be larger than what a device of this size takes. */
const facts = { sizeOf: () => Number.MAX_SAFE_INTEGER, mappingId: () => 'f'.repeat(16) }

test('[STA-06] [SLK-07] [FB-11] any configuration prints as a table that reads back as itself', (t) => {
  t.diagnostic(`SEED=${seed}`)
  fc.assert(
    fc.property(config, (wanted) => {
      checkConfig(wanted)
      const text = printTable(wanted).join('\n')
      const table = read(text)
      assert.deepEqual(planTable(table, wanted, facts), [], text)
      const steps = planTable(table, empty(wanted), facts)
      assert.equal(printTable(steps.reduce(takeStep, empty(wanted))).join('\n'), text)
      const control = [...printControl(wanted.log, []), ...slinksOf(wanted).flatMap(inOneWord)]
      const old = printWords(['0', '1', 'replicator', ...control])
      assert.deepEqual(planTable(read(old), wanted, facts), [], old)
    }),
    parameters,
  )
})

/** A tuple with `key=value` in one word, which is the older syntax. */
function inOneWord(slink: SlinkTuple): string[] {
  const [type = '', , ...parameters] = printSlink(slink)
  const keysAt = parameters.findIndex((word) => /^a?synchronous/.test(word)) + 1
  const keys = parameters.slice(keysAt)
  const pairs = keys.flatMap((key, at) => (at % 2 === 0 ? [`${key}=${keys[at + 1]}`] : []))
  const words = [...parameters.slice(0, keysAt), ...pairs]
  return [type, String(words.length), ...words]
}

const WORDS = [
  '0 1 4096 2048 8 2 3 4 5 -1 2047 2048 12x replicator replicator-dev ringbuffer blockdev agent group /log /a /b tcp://a:1',
  'auto open create a o c asynchronous synchronous stall s sy st a+st sync+stall+durable + ios size data timeout hold rate paused resume resume=7',
  'ios=5 size=1m timeout=2h size=1e data=3k yes nolog core disk - sync nosync d0: \\\\ # \\n',
].flatMap((line) => line.split(' '))

const words = fc.array(fc.oneof(fc.constantFrom(...WORDS), fc.string({ maxLength: 6 })), { maxLength: 40 })

/** A table that is right but for a few words. */
const nearly = fc
  .tuple(config, fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.constantFrom(...WORDS)), { maxLength: 3 }))
  .map(([from, changes]) => {
    const text = printTable(from).join(' \n ').split(' ')
    for (const [at, how, word] of changes)
      text.splice(at % text.length, how === 0 ? 0 : 1, ...(how === 1 ? [] : [word]))
    return text.join(' ')
  })

test('any words are read, or refused with the line and an error number, and what is read prints as it reads', (t) => {
  t.diagnostic(`SEED=${seed}`)
  const outcomes = new Set<string>()
  const judge = (text: string): void => {
    let table
    try {
      table = read(text)
    } catch (error) {
      assert.ok(SitelinkError.is(error), String(error))
      assert.equal(error.code, 'DM_TABLE', error.message)
      assert.match(error.message, /^(table|line \d+): .+ \(E[A-Z]+\)$/)
      outcomes.add(String(error.facts['errno']))
      return
    }
    outcomes.add('read')
    const { control } = table
    if (control === null) return
    const log = { path: control.log.path, startBytes: control.log.startBytes }
    const none: GroupConfig = { ...emptyGroup, log }
    try {
      const made = planTable(
        { ...table, control: { ...control, log: { ...control.log, mode: 'open' } } },
        none,
        facts,
      ).reduce(takeStep, none)
      assert.deepEqual(planTable(read(printTable(made).join('\n')), made, facts), [])
      outcomes.add('made')
    } catch (thrown) {
      const error = mapError(thrown)
      assert.ok(SitelinkError.is(error), String(error))
      outcomes.add(error.code)
    }
  }
  fc.assert(
    fc.property(
      words.map((list) => list.join(' ')),
      judge,
    ),
    parameters,
  )
  fc.assert(fc.property(nearly, judge), { ...parameters, numRuns: 1500 })
  for (const one of ['read', 'made', 'EINVAL', 'ENOENT'])
    assert.ok(outcomes.has(one), `${one} was met: ${[...outcomes].join(' ')}`)
})

const emptyGroup: GroupConfig = {
  uuid: '01234567-89ab-cdef-0123-456789abcdef',
  epoch: 1,
  log: { path: '/log', startBytes: 0 },
  nextDeviceId: 1,
  local: { mode: 'async' },
  devices: [],
  slinks: [],
  nbd: { listen: null },
}
