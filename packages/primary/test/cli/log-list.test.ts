/** What the verbs that look into a log print while nothing runs. */
import assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { StateDirectory } from '@sitelink/daemon'
import { openOffline } from '../../src/cli/offline-group.js'
import { Asked, bytes } from '../group/group-world.js'
import { folderOf, hashes, MIB, must, sitelink } from './cli-world.js'

test('[FMT-24] the entries of a log and what it keeps for each site are printed while no daemon runs', async (t) => {
  const folder = folderOf(t)
  const state = join(folder, 'state')
  const device = join(folder, 'dev0')
  writeFileSync(device, '')
  truncateSync(device, 4 * MIB)
  const at = ['--state', state]
  await must('init', '--log', join(folder, 'log'), '--log-size', '4m', ...at)
  await must('device', 'add', '7', device, '--name', 'data', ...at)
  await must('slink', 'add', '1', '--to', 'tcp://127.0.0.1:9', '--insecure-plain', ...at)
  await must('device', 'map', '7', '--slink', '1', '--remote', 'r', '--nosync', ...at)
  assert.match(await must('log', 'ls', ...at), /the log holds no entries/)
  const directory = await StateDirectory.open(state, { program: 'sitelink' })
  const lock = await directory.lock('command')
  const group = await openOffline(directory, lock, [])
  group.run()
  const ask = (request: Asked): Promise<void> =>
    new Promise((resolve) => {
      request.onAnswer = resolve
      for (const one of group.exports.values()) one.submit(request)
    })
  await ask(new Asked('write', 8192, 4096, bytes(4096, 1)))
  await ask(new Asked('flush', 0, 0))
  await ask(new Asked('trim', 1024, 512))
  await ask(new Asked('write', 0, 512, bytes(512, 2), true))
  await group.stop(10_000)
  await lock.release()
  const rows = JSON.parse(await must('log', 'ls', '--json', ...at)) as Record<string, unknown>[]
  const shown = rows.map(({ lsn, type, device: number, offsetBytes, lengthBytes, fua }) => [
    lsn,
    type,
    number,
    offsetBytes,
    lengthBytes,
    fua,
  ])
  assert.deepEqual(shown, [
    [1, 'write', 7, 8192, 4096, false],
    [2, 'trim', 7, 1024, 512, false],
    [3, 'write', 7, 0, 512, true],
  ])
  assert.match(
    await must('log', 'ls', '--last', '1', ...at),
    /^POSITION +LSN +TYPE +DEVICE .*\n +\d+ +3 +write +7 +0 +512 +fua/,
  )
  const { slinks, appliedLsn } = JSON.parse(await must('log', 'show', '--json', ...at)) as {
    slinks: { number: number; durableLsn: number; behind: boolean }[]
    appliedLsn: number
  }
  assert.deepEqual(
    slinks.map(({ number, durableLsn, behind }) => [number, durableLsn, behind]),
    [[1, 0, false]],
  )
  assert.equal(appliedLsn, 3)
  assert.match(await must('log', 'show', ...at), /slink 1 +durable to LSN 0/)
  // Another size, and the same entries.
  await must('log', 'resize', '6m', ...at)
  assert.deepEqual(JSON.parse(await must('log', 'ls', '--json', ...at)), rows)
  assert.equal((await sitelink('log', 'check', ...at)).status, 0)
})

test('[LIFE-05] a group with devices is not destroyed: by init, by another group on its log, or by pieces that are in use', async (t) => {
  const folder = folderOf(t)
  const state = join(folder, 'state')
  const log = join(folder, 'log')
  const device = join(folder, 'dev0')
  writeFileSync(device, '')
  truncateSync(device, 4 * MIB)
  const at = ['--state', state]
  await must('init', '--log', log, '--log-size', '4m', ...at)
  await must('device', 'add', '0', device, '--name', 'data', ...at)
  await must('slink', 'add', '1', '--to', 'tcp://127.0.0.1:9', '--insecure-plain', ...at)
  await must('device', 'map', '0', '--slink', '1', '--remote', 'r', '--nosync', ...at)
  const before = hashes(folder)
  for (const [words, why] of [
    [['init', '--log', join(folder, 'other'), ...at], /state/],
    [['init', '--log', log, '--state', join(folder, 'second')], /holds something already/],
    [['slink', 'del', '1', ...at], /slink 1 still has devices 0/],
    [['device', 'del', '0', ...at], /device 0 is mapped to slink 1/],
  ] as const) {
    const { status, stderr } = await sitelink(...words)
    assert.notEqual(status, 0, words.join(' '))
    assert.match(stderr, why)
    assert.match(stderr, /\n {2}try: /, 'it says what to do')
  }
  assert.deepEqual(hashes(folder), before, 'nothing was changed')
})
