/**
 * The verbs of `pnpm bench` beside its main table, as smoke runs: each works from the command line, has every figure, and
 * leaves nothing behind. How fast anything is, is not judged here.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { requireClients } from '../support/clients.js'
import { removeFolder, repositoryRoot, temporaryFolder } from '../support/places.js'
import { runCommand } from '../support/program.js'
import { waitFor } from '../support/wait-for.js'

const bench = join(repositoryRoot, 'bench', 'main.mjs')

interface Figure {
  readonly name: string
  readonly unit: string
  readonly values: readonly number[]
  readonly median: number
  readonly goal: object | null
}

/** Each verb, the real clients that it needs, and figures that its table must have. */
const verbs = [
  { verb: 'micro', clients: [], figures: ['frame encode, 4 KiB', 'overlay lookup, 4 KiB found'], goals: 0 },
  {
    verb: 'resync',
    clients: ['nbdcopy', 'nbdkit'],
    figures: ['full: resync / nbdcopy', '1 % scattered: resync / nbdcopy'],
    goals: 1,
  },
  { verb: 'recover', clients: [], figures: ['start to first answer', 'reading the log', 'start / reading'], goals: 1 },
  { verb: 'backlog', clients: [], figures: ['drain', 'primary: most resident memory'], goals: 2 },
  {
    verb: 'wan',
    clients: ['fio'],
    figures: ['50 ms: plain sockets', '50 ms: share while written', '50 ms: share from the log'],
    goals: 0,
  },
  {
    verb: 'links',
    clients: [],
    figures: ['tls / plain TLS socket: rate', 'https over HTTP/2: round trip of 4 KiB'],
    goals: 2,
  },
  {
    verb: 'compression',
    clients: [],
    figures: ['text, auto: received', 'text: auto / off', 'random: auto / off'],
    goals: 2,
  },
]
/** Verbs that write no file. */
const withoutFiles = ['micro', 'links']

describe('the verbs of pnpm bench', { concurrency: 2 }, () => {
  for (const { verb, clients, figures, goals } of verbs) {
    test(`a smoke run of bench ${verb} has every figure and leaves nothing behind`, async (t) => {
      if (requireClients(t, ...clients) === null) return
      const folder = temporaryFolder(`bench-${verb}`)
      const json = join(temporaryFolder(`bench-${verb}-json`), 'figures.json')
      const words = ['--smoke', '--built', '--json', json, ...(withoutFiles.includes(verb) ? [] : ['--dir', folder])]
      const result = await runCommand(process.execPath, [bench, verb, ...words], { timeoutMs: 300_000 })
      assert.equal(result.status, 0, `${result.stdout}\n${result.stderr}`)
      const told = JSON.parse(readFileSync(json, 'utf8')) as { rounds: number; figures: readonly Figure[] }
      assert.equal(told.rounds, 1)
      for (const { name, unit, values, median } of told.figures) {
        assert.deepEqual(values.map(Number.isFinite), [true], `${verb}: ${name} has one number`)
        assert.equal(median, values[0])
        assert.notEqual(unit, '')
        assert.ok(result.stdout.includes(name), `the table of ${verb} has a line "${name}"`)
      }
      for (const name of figures)
        assert.ok(
          told.figures.some((one) => one.name === name),
          `${verb} tells "${name}"`,
        )
      assert.equal(told.figures.filter(({ goal }) => goal !== null).length, goals)
      assert.equal(/reached/.test(result.stdout), false, 'a smoke run judges no speed')
      assert.deepEqual(readdirSync(folder), [])
      removeFolder(folder)
    })
  }

  test('bad words end a verb with status 64, and say what is known and where to look', async () => {
    const result = await runCommand(process.execPath, [bench, 'recover', '--size', 'much'])
    assert.equal(result.status, 64)
    assert.match(result.stderr, /recover: --size needs a size as 64k, 256m or 1g, not much/)
    assert.match(result.stderr, /pnpm bench recover --help/)
  })

  test('a verb that is interrupted ends its programs and removes its files', async () => {
    const folder = temporaryFolder('bench-interrupted')
    const child = spawn(process.execPath, [bench, 'backlog', '--smoke', '--built', '--dir', folder], {
      stdio: 'ignore',
    })
    try {
      const ended = new Promise((resolve) => child.once('close', resolve))
      await waitFor('a program of it to run', async () => processesOf(folder).length > 0 || child.exitCode !== null, {
        timeoutMs: 120_000,
      })
      child.kill('SIGINT')
      assert.equal(await ended, 130)
      assert.deepEqual(readdirSync(folder), [])
      await waitFor('its programs to be gone', async () => processesOf(folder).length === 0)
    } finally {
      child.kill('SIGKILL')
      removeFolder(folder)
    }
  })
})

/** Processes whose command line names a file in the folder, the benchmark itself left out. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc').filter((name) => {
    const path = join('/proc', name, 'cmdline')
    if (!/^\d+$/.test(name) || !existsSync(path)) return false
    try {
      return readFileSync(path, 'utf8').includes(`${folder}/`)
    } catch {
      return false
    }
  })
}
