/**
 * `pnpm fuzz`: feeds the parsers that meet strangers for as long as asked, guided by coverage.
 *
 *   pnpm fuzz                                          every target, a minute each
 *   pnpm fuzz --target ring-log --minutes 30 --seed 7  one target, for longer, with a seed
 *   pnpm fuzz --keep                                   inputs that reach new code stay in the corpus
 *   pnpm fuzz --replay test/fuzz/corpus/session/failed-0123456789ab.bin
 *
 * Owns the process that feeds: it is watched from here, and one that says nothing for twenty seconds hangs; its input is
 * saved like one that fails. Ends with status 1 at the first failure, with the command that replays it. What
 * was compiled is run: build first.
 */
import { fork, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ensureBuilt } from './lib/built.mjs'
import { defaultSeed, root } from './lib/workspace.mjs'

const dist = join(root, 'test', 'dist', 'fuzz')
/** Silence after which the process that feeds is taken to hang. The slowest input of any target takes a second. */
const SILENCE_MS_MAX = 20_000

function usage(why) {
  console.error(`fuzz: ${why}`)
  process.exit(64)
}

function parse(words) {
  const options = { target: null, minutes: 1, seed: defaultSeed(), keep: false, replay: [] }
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--') continue
    else if (word === '--target') options.target = words.shift() ?? usage('--target needs a name')
    else if (word === '--minutes') options.minutes = Number(words.shift())
    else if (word === '--seed') options.seed = words.shift() ?? usage('--seed needs a value')
    else if (word === '--keep') options.keep = true
    else if (word === '--replay') options.replay = words.splice(0).map((file) => resolve(file))
    else usage(`${word} is not known: --target NAME, --minutes M, --seed S, --keep, --replay FILE`)
  }
  if (!(options.minutes > 0)) usage('--minutes needs a number above 0')
  return options
}

/** The input that was being fed, from the file where the other process put it. */
function savedInput(name, inputFile) {
  const bytes = readFileSync(inputFile)
  const input = bytes.subarray(4, 4 + bytes.readUInt32LE(0))
  const folder = join(root, 'test', 'fuzz', 'corpus', name)
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `failed-${createHash('sha256').update(input).digest('hex').slice(0, 12)}.bin`)
  writeFileSync(file, input)
  return file
}

/** Feeds one target; answers the file of the input that failed, or null. */
function run(name, { minutes, seed, keep }, scratch) {
  const inputFile = join(scratch, `${name}.input`)
  const words = [name, String(seed), String(minutes * 60), inputFile, keep ? 'keep' : '']
  const child = fork(join(dist, 'fuzz-child.js'), words, {
    execArgv: ['--enable-source-maps'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const startedMs = performance.now()
  return new Promise((done) => {
    let failed = null
    let last = { executions: 0, found: 0, blocks: 0 }
    let timer = null
    const line = () => {
      const seconds = (performance.now() - startedMs) / 1000
      const rate = Math.round(last.executions / Math.max(0.001, seconds))
      return `${name}: ${last.executions} inputs, ${rate}/s, ${last.blocks} blocks, ${last.found} new inputs`
    }
    const listen = () => {
      clearTimeout(timer)
      timer = setTimeout(() => {
        child.kill('SIGKILL')
        failed = existsSync(inputFile) ? savedInput(name, inputFile) : inputFile
        console.log(`${line()}\n${name} hangs: nothing for ${SILENCE_MS_MAX / 1000} s`)
      }, SILENCE_MS_MAX)
    }
    listen()
    child.on('message', (message) => {
      listen()
      if (message.kind === 'progress') {
        last = message
        if (process.stdout.isTTY) process.stdout.write(`\r${line()}  `)
      } else if (message.kind === 'failed') {
        failed = message.file
        console.log(`${process.stdout.isTTY ? '\n' : ''}${message.error}`)
      } else if (process.env.FUZZ_ANSWERS) {
        for (const [word, count] of message.words) console.log(`  ${String(count).padStart(8)}  ${word}`)
      }
    })
    child.on('exit', (status, signal) => {
      clearTimeout(timer)
      console.log(`${process.stdout.isTTY ? '\r' : ''}${line()}`)
      if (failed === null && (status !== 0 || signal !== null)) {
        console.log(`${name} ended with ${signal ?? status}`)
        failed = existsSync(inputFile) ? savedInput(name, inputFile) : inputFile
      }
      done(failed)
    })
  })
}

const options = parse(process.argv.slice(2))
await ensureBuilt()
if (options.replay.length > 0) {
  const { status } = spawnSync(process.execPath, ['--enable-source-maps', join(dist, 'replay.js'), ...options.replay], {
    stdio: 'inherit',
    cwd: root,
  })
  process.exit(status ?? 1)
}
const { targets } = await import(pathToFileURL(join(dist, 'targets.js')).href)
const names = options.target === null ? Object.keys(targets) : [options.target]
if (targets[names[0]] === undefined) usage(`there is no target ${names[0]}: ${Object.keys(targets).join(', ')}`)
console.log(`seed ${options.seed}, ${options.minutes} minutes each`)
const scratch = mkdtempSync(join(tmpdir(), 'sitelink-fuzz-'))
let failures = 0
try {
  for (const name of names) {
    const file = await run(name, options, scratch)
    if (file === null) continue
    failures++
    console.log(`replay it: pnpm fuzz --replay ${relative(root, file)}`)
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
process.exitCode = failures === 0 ? 0 : 1
