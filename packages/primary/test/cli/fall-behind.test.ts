/** The share of its limits at which a site is waited for no longer: said, shown, stored and printed by the real program. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { addSlink } from '../../src/admin/changes.js'
import { printFallBehind, readFallBehind } from '../../src/cli/fall-behind-words.js'
import type { GroupConfig } from '../../src/config.js'
import { madeGroup, must, refused } from './cli-world.js'

const EMPTY: GroupConfig = {
  uuid: '01234567-89ab-cdef-0123-456789abcdef',
  epoch: 1,
  log: { path: '/log', startBytes: 0 },
  nextDeviceId: 1,
  local: { mode: 'async' },
  devices: [],
  slinks: [],
  nbd: { listen: null },
}

interface Row {
  readonly fallBehind: Readonly<Record<string, number>>
}

test('[FB-11] a share to resume at is set by --fall-behind, listed, stored, printed as a table that loads, and taken away', async (t) => {
  const { folder, state } = await madeGroup(t)
  const at = (...words: string[]): string[] => [...words, '--state', state]
  const stored = () => {
    const config = JSON.parse(readFileSync(join(state, 'config.json'), 'utf8')) as { readonly slinks: readonly Row[] }
    return config.slinks[0]?.fallBehind
  }
  const listed = async () => (JSON.parse(await must(...at('slink', 'ls', '--json'))) as Row[])[0]?.fallBehind
  const limits = { ios: 500, bytes: 3 * 1024, timeoutMs: 2000 }
  await must(
    ...at('slink', 'add', '1', '--to', 'tcp://far:7373', '--insecure-plain'),
    ...['--fall-behind', 'ios=500,size=3k,timeout=2s,resume=80%'],
  )
  assert.deepEqual(stored(), { ...limits, resumePercent: 80 })
  assert.deepEqual(await listed(), { ...limits, resumePercent: 80 })
  assert.match(await must(...at('slink', 'ls')), /ios=500,size=3k,timeout=2s,resume=80%/)
  const table = await must(...at('table'))
  assert.match(table, / asynchronous ios 500 size 3k timeout 2s resume 80\n/)
  const file = join(folder, 'table')
  writeFileSync(file, table)
  assert.match(await must(...at('table', '--load', file)), /nothing was to be done/)
  assert.deepEqual(stored(), { ...limits, resumePercent: 80 })

  await must(...at('slink', 'set', '1', '--fall-behind', 'ios=500,size=3k,timeout=2s'))
  assert.deepEqual(stored(), limits, 'as it was before there was a share')
  assert.deepEqual(await listed(), { ...limits, resumePercent: 100 })
  await must(...at('table', '--load', file))
  assert.deepEqual(stored(), { ...limits, resumePercent: 80 }, 'and the table brings it back')
  await must(...at('message', 'group', 'slink', 'message', '1', 'fallbehind', 'ios=500', 'resume=50'))
  assert.deepEqual(stored(), { ios: 500, bytes: 0, timeoutMs: 0, resumePercent: 50 })
  await must(...at('slink', 'set', '1', '--fall-behind', 'none'))
  assert.match(await must(...at('slink', 'ls')), /drop +- +no/)

  const words = at('slink', 'set', '1', '--fall-behind', 'ios=5,resume=101%')
  await refused(folder, { status: 64, about: /above 100/ }, words)
})

test('[FB-11] the words behind --fall-behind read and print as the same limits, and a share of nothing is refused', () => {
  for (const text of [
    'ios=500,size=3k,timeout=2s,resume=80%',
    'size=4097',
    'timeout=1500ms,resume=1%',
    'timeout=2d',
    '-',
  ])
    assert.equal(printFallBehind(readFallBehind(text === '-' ? 'none' : text)), text)
  assert.equal(printFallBehind(readFallBehind('resume=100,ios=5')), 'ios=5')
  for (const [text, about] of [
    ['ios=5,resume=0', /below 1/],
    ['ios=5,resume=101%', /above 100/],
    ['ios=5,resume=8.5', /whole number/],
    ['ios=5,resume=', /should be ios=N, size=BYTES, timeout=TIME or resume=PERCENT/],
    ['ios=5,resume=7,resume=8', /resume twice/],
  ] as const)
    assert.throws(() => readFallBehind(text), about, text)
  const wish = { number: 1, addresses: ['tcp://far:1'], mode: 'async' as const }
  assert.throws(
    () => addSlink(EMPTY, { ...wish, fallBehind: readFallBehind('resume=80%') }),
    /a share of limits, and there is none/,
  )
})
