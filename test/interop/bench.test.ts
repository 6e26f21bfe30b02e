/**
 * `pnpm bench` works: every contender that is installed, every kind of row, and figures where figures belong.
 *
 * It judges no speed. What it asks of the programs is that they end well, that both sides of whoever replicates are equal,
 * and that nothing is left behind.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { requireClients } from '../support/clients.js'
import { repositoryRoot, temporaryFolder } from '../support/places.js'
import { Program, runCommand } from '../support/program.js'
import { waitFor } from '../support/wait-for.js'

const bench = join(repositoryRoot, 'bench', 'main.mjs')

interface Report {
  readonly seed: string
  readonly rows: readonly { readonly id: string }[]
  readonly contenders: readonly { readonly name: string }[]
  readonly skipped: readonly unknown[]
  readonly problems: readonly unknown[]
  readonly goals: readonly { readonly ratio: { readonly median: number } | null; readonly reached: boolean | null }[]
  readonly figures: Readonly<Record<string, Readonly<Record<string, readonly ({ iops: number } | null)[]>>>>
}

test('a smoke run has a figure of every kind of row for every contender, and leaves nothing behind', async (t) => {
  const tools = requireClients(t, 'fio', 'nbdkit', 'qemu-img', 'qemu-storage-daemon')
  if (tools === null) return
  const folder = temporaryFolder('bench')
  const files = { json: join(folder, 'figures.json'), svg: join(folder, 'goals.svg') }
  const words = ['--smoke', '--dir', folder, '--json', files.json, '--svg', files.svg]
  const result = await runCommand(process.execPath, [bench, ...words], { timeoutMs: 600_000 })
  assert.equal(result.status, 0, `${result.stdout}\n${result.stderr}`)
  const report = JSON.parse(readFileSync(files.json, 'utf8')) as Report
  assert.deepEqual([report.skipped, report.problems], [[], []])
  assert.equal(report.contenders.length, 7)
  for (const { id } of report.rows) {
    for (const { name } of report.contenders) {
      const rounds = report.figures[id]?.[name] ?? []
      assert.ok(rounds.length === 1 && (rounds[0]?.iops ?? 0) > 0, `${id} of ${name} has a figure`)
    }
  }
  assert.ok(report.goals.some(({ ratio }) => ratio !== null))
  for (const { ratio, reached } of report.goals) assert.equal(reached === null, ratio === null)
  assert.match(readFileSync(files.svg, 'utf8'), /^<svg [\s\S]*<\/svg>\n$/)
  assert.match(result.stdout, /^goal +ratio +wanted/m)
  assert.deepEqual(readdirSync(folder).sort(), ['figures.json', 'goals.svg'])
})

test('device files keep their content however they are brought into the page cache, and a run says how', async (t) => {
  const tools = requireClients(t, 'fio', 'nbdkit')
  if (tools === null) return
  const folder = temporaryFolder('bench-pages')
  const path = join(folder, "a file's name")
  // What it holds is kept, whatever that is.
  const content = randomBytes(3 * 1024 * 1024 + 4096)
  writeFileSync(path, content)
  const { settleFile } = (await import(pathToFileURL(join(repositoryRoot, 'bench', 'lib', 'place.mjs')).href)) as {
    settleFile: (path: string, options?: { pieces: string }) => void
  }
  for (const pieces of ['4k', '1m', 'read']) {
    settleFile(path, { pieces })
    if (existsSync('/usr/bin/fincore')) {
      const cached = await runCommand('fincore', ['--bytes', '--noheadings', '--output', 'RES', path])
      assert.equal(cached.stdout.trim(), String(content.length), `all of it is cached: ${pieces}`)
    }
    assert.ok(readFileSync(path).equals(content))
  }
  rmSync(path)
  const words = ['--smoke', '--pieces', '4k', '--dir', folder, '--contenders', 'nbdkit', '--only', 'randwrite-4k-d1']
  const result = await runCommand(process.execPath, [bench, ...words], { timeoutMs: 300_000 })
  assert.equal(result.status, 0, `${result.stdout}\n${result.stderr}`)
  assert.match(result.stdout, /^device files cached in pages of 4 KiB$/m)
  assert.deepEqual(readdirSync(folder), [])
})

test('an interrupted run ends what it started and removes its files', async (t) => {
  const tools = requireClients(t, 'fio')
  if (tools === null) return
  const folder = temporaryFolder('bench-interrupted')
  const words = [bench, '--smoke', '--dir', folder, '--contenders', 'async', '--seconds', '600', '--only', 'randread']
  const run = Program.start('bench', process.execPath, words)
  const children = (): string => readFileSync(`/proc/${run.pid}/task/${run.pid}/children`, 'utf8').trim()
  // Two daemons and the load.
  await waitFor('the load to run', () => run.exit !== null || children().split(' ').length >= 3, { timeoutMs: 300_000 })
  const started = children().split(' ')
  run.signal('SIGINT')
  assert.deepEqual(await run.ended, { status: 130, signal: null }, run.output)
  assert.deepEqual(readdirSync(folder), [])
  for (const pid of started) assert.throws(() => process.kill(Number(pid), 0), `process ${pid} has ended`)
})

test('bad usage says what is wrong and what to do, with status 64', async () => {
  for (const words of [
    ['--nonsense'],
    ['nonsense'],
    ['--rounds', '0'],
    ['--only', 'nonsense'],
    ['--contenders', 'me'],
    ['--pieces', '2m'],
  ]) {
    const result = await runCommand(process.execPath, [bench, ...words])
    assert.deepEqual([result.status, result.stdout], [64, ''], words.join(' '))
    assert.match(result.stderr, /^bench: .+\nnext: pnpm bench --help\n$/)
  }
})
