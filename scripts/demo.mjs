/**
 * Sitelink at work, in one command: `npx -y pnpm@10.34.9 demo`.
 *
 * Installs and builds if needed, then starts a real agent and a real primary on sparse files in a temporary folder and
 * tells a story with them: files are replicated, the agent is killed, the log absorbs it; the agent is killed again, the
 * log overflows, and the return resyncs what is missing. The exit status is 0 only if both sides then hold the same bytes.
 * Nothing is left behind, also after Ctrl-C.
 */
import { createHash } from 'node:crypto'
import { createReadStream, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { ensureInstalled } from './lib/install.mjs'
import {
  bar,
  bold,
  bytesText,
  command,
  dim,
  fact,
  green,
  heading,
  keepLive,
  live,
  red,
  say,
} from './lib/demo-screen.mjs'
import { environment, root, run } from './lib/workspace.mjs'

const MIB = 1024 * 1024
const DATA_BYTES = 48 * MIB
const SCRATCH_BYTES = 160 * MIB
const LOG_SIZE = '32m'

async function prepare() {
  const startedMs = performance.now()
  const installed = await ensureInstalled()
  if (installed.status !== 0) throw new Error(`the install failed\n${installed.output}`)
  if (installed.asked) fact(dim(`dependencies installed in ${seconds(startedMs)}`))
  const buildMs = performance.now()
  const built = await run('tsc', ['-b', 'packages/primary', 'packages/agent'], { quiet: true, env: environment })
  if (built.status !== 0) throw new Error(`the build failed\n${built.output}`)
  fact(dim(`built in ${seconds(buildMs)}`))
}

function seconds(startedMs) {
  return `${((performance.now() - startedMs) / 1000).toFixed(1)} s`
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

/** The whole story. Answers whether both sides were equal at the end. */
async function story() {
  const { checkFilesystem, makeImage, noise } = await import('./lib/demo-images.mjs')
  const { Daemon, folder, until, verb, verbOnScreen } = await import('./lib/demo-cast.mjs')
  const { NbdClient } = await import(join(root, 'packages/nbd/dist/src/index.js'))
  const { ControlClient } = await import(join(root, 'packages/daemon/dist/src/index.js'))
  const site = {
    state: join(folder, 'remote'),
    data: join(folder, 'remote-data.img'),
    scratch: join(folder, 'remote-scratch.img'),
  }
  const here = { state: join(folder, 'primary'), data: join(folder, 'data.img'), scratch: join(folder, 'scratch.img') }
  const listen = `tls://127.0.0.1:${await freePort()}`
  for (const side of [site, here]) {
    for (const [path, bytes] of [
      [side.data, DATA_BYTES],
      [side.scratch, SCRATCH_BYTES],
    ]) {
      writeFileSync(path, '')
      truncateSync(path, bytes)
    }
  }
  const agentControl = new ControlClient(site.state)
  const control = new ControlClient(here.state)
  const slink = async () => (await control.call('status', {}, { timeoutMs: 10_000 })).slinks[0]
  const shown = (text) => text.replaceAll(folder, 'DIR')
  const type = async (program, ...words) => {
    command(shown(`${program} ${words.join(' ')}`))
    return verb(program, ...words)
  }
  const startAgent = async () => {
    command(shown(`sitelink-agent run --state ${site.state} --listen ${listen}`))
    const daemon = new Daemon('sitelink-agent', 'run', '--state', site.state, '--listen', listen)
    await daemon.answers(agentControl)
    return daemon
  }

  heading('A remote site: an agent with two empty devices')
  await type('sitelink-agent', 'init', '--state', site.state)
  await type('sitelink-agent', 'device', 'add', 'data', site.data, '--state', site.state)
  await type('sitelink-agent', 'device', 'add', 'scratch', site.scratch, '--state', site.state)
  let agent = await startAgent()
  const token = (await type('sitelink-agent', 'invite', '--state', site.state)).trim()
  fact(dim(`${token.slice(0, 18)}... counts once, for 15 minutes`))

  heading(`The primary: the same two devices, a log of ${LOG_SIZE}, and a slink to the site`)
  await type('sitelink', 'init', '--state', here.state, '--log', join(folder, 'log'), '--log-size', LOG_SIZE)
  command(shown(`sitelink run --state ${here.state}`))
  const primary = new Daemon('sitelink', 'run', '--state', here.state)
  await primary.answers(control)
  await type('sitelink', 'device', 'add', '0', here.data, '--name', 'data', '--state', here.state)
  await type('sitelink', 'device', 'add', '1', here.scratch, '--name', 'scratch', '--state', here.state)
  const slinkWords = ['--policy', 'async', '--state', here.state]
  command(shown(`sitelink slink add 1 --to TOKEN ${slinkWords.join(' ')}`))
  await verb('sitelink', 'slink', 'add', '1', '--to', token, ...slinkWords)
  for (const [number, name] of [
    ['0', 'data'],
    ['1', 'scratch'],
  ]) {
    const words = ['--slink', '1', '--remote', name, '--dirty-log', 'disk', '--region-size', '1m', '--sync']
    await type('sitelink', 'device', 'map', number, ...words, '--state', here.state)
  }
  await inStep(slink, until)

  const socket = { path: join(here.state, 'nbd.sock') }
  const clients = {
    data: await NbdClient.connect(socket, { export: 'data' }),
    scratch: await NbdClient.connect(socket, { export: 'scratch' }),
  }
  const first = makeImage(folder, 'first', DATA_BYTES, 'written while everything runs')
  const second = makeImage(folder, 'second', DATA_BYTES, 'written while the site was away')

  heading(`Writing ${first.what} over NBD`)
  await write(clients.data, first.content, 0, slink)
  await inStep(slink, until)
  keepLive(`${green('in step')}: every write is durable at the site, in the order in which it was made`)

  const copiedBefore = (await slink()).copiedBytesTotal
  heading('The site dies: kill -9 of the agent, while the application goes on writing')
  command(`kill -9 ${agent.pid}`)
  await agent.kill()
  await write(clients.scratch, noise(12 * MIB, 1), 0, slink)
  keepLive(`${lagLine(await slink())}  ${dim('- the log holds it')}`)
  agent = await startAgent()
  await inStep(slink, until)
  const copied = (await slink()).copiedBytesTotal - copiedBefore
  keepLive(
    `${green('in step again')}: replayed from the log, ${bold(`${copied === 0 ? 'nothing' : bytesText(copied)} resynced`)}`,
  )

  heading('It dies again, and for longer: the log overflows to dirty logging')
  command(`kill -9 ${agent.pid}`)
  await agent.kill()
  await write(clients.data, second.content, 0, slink)
  await write(clients.scratch, noise(96 * MIB, 2), 32 * MIB, slink)
  await until('the slink to be behind', async () => (await slink()).behind)
  const behind = await slink()
  keepLive(
    `${bold('behind')}: the log is too small for this; ${behind.dirtyRegions} of ${behind.totalRegions} regions are marked dirty, and nobody had to wait`,
  )

  heading('It returns: only dirty regions are copied')
  agent = await startAgent()
  command('sitelink resync 1')
  await verbOnScreen('sitelink', 'resync', '1', '--state', here.state)
  await inStep(slink, until)
  keepLive(`${green('in step')}: ${lagLine(await slink())}`)

  heading('Are both sides the same?')
  for (const client of Object.values(clients)) await client.flush()
  const equal = []
  for (const name of ['data', 'scratch']) {
    await applied(agentControl, until)
    const [local, copy] = await Promise.all([exportHash(clients[name]), fileHash(site[name])])
    equal.push(local === copy)
    fact(`${name.padEnd(8)} primary ${dim('sha256')} ${local}`)
    fact(`${''.padEnd(8)} site    ${dim('sha256')} ${copy}  ${local === copy ? green('equal') : red('DIFFERENT')}`)
  }
  for (const client of Object.values(clients)) await client.disconnect()
  await primary.stop()
  await agent.stop()
  const checked = checkFilesystem(site.data, second.what)
  if (checked) {
    fact(`e2fsck of the site's copy: ${checked.clean ? green('clean') : red('NOT CLEAN')} ${dim(shown(checked.says))}`)
    equal.push(checked.clean)
  }
  return equal.every(Boolean)
}

/** Writes a buffer in pieces, several at a time, and shows the lag. */
async function write(client, content, offset, slink) {
  const piece = 256 * 1024
  let next = 0
  let done = 0
  const worker = async () => {
    while (next < content.length) {
      const at = next
      next += piece
      await client.write(offset + at, content.subarray(at, Math.min(at + piece, content.length)))
      done += Math.min(piece, content.length - at)
    }
  }
  let writing = true
  const screen = (async () => {
    while (writing)
      live(`${bar(done / content.length)} ${bytesText(done).padStart(9)} written   ${lagLine(await slink())}`)
  })()
  await Promise.all(Array.from({ length: 4 }, worker))
  writing = false
  await screen
  keepLive(`${bar(1)} ${bytesText(done).padStart(9)} written   ${lagLine(await slink())}`)
}

function lagLine(slink) {
  if (slink.behind) return `slink ${slink.state}, ${slink.dirtyRegions} dirty regions`
  return `slink ${slink.state}, lag ${slink.lagWrites} writes, ${bytesText(slink.lagBytes)}`
}

async function inStep(slink, until) {
  await until('the site to be in step', async () => {
    const now = await slink()
    live(lagLine(now))
    return now.state === 'live' && now.lagWrites === 0 && now.dirtyRegions === 0 && now.agentConsistent === true
  })
}

/** Waits until the agent has put on its devices everything that it has. */
async function applied(control, until) {
  await until('the agent to apply its journal', async () => {
    const { replica } = await control.call('status', {}, { timeoutMs: 10_000 })
    return replica !== null && Number(replica.appliedLsn) >= Number(replica.durableLsn)
  })
}

async function exportHash(client) {
  const hash = createHash('sha256')
  for (let at = 0; at < client.info.sizeBytes; at += MIB) hash.update(await client.read(at, MIB))
  return hash.digest('hex')
}

async function fileHash(path) {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

say(bold('Sitelink: block devices replicated to another site, in the order in which they were written'))
try {
  await prepare()
  const startedMs = performance.now()
  const equal = await story()
  say()
  say(
    equal
      ? green(bold(`Everything matched, after two kills and one overflow, in ${seconds(startedMs)}.`))
      : red(bold('The two sides differ.')),
  )
  process.exitCode = equal ? 0 : 1
} catch (error) {
  say()
  say(red(error instanceof Error ? error.message : String(error)))
  process.exitCode = 1
} finally {
  const cast = await import('./lib/demo-cast.mjs')
  await cast.leave()
}
