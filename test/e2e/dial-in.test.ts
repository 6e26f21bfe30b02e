/**
 * An agent that nobody can reach dials the primary, with the real programs: it replicates as any other, over every cut, and
 * whoever is not pinned gets nothing. Then what a limited link carries with and without compression.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { ControlClient } from '@sitelink/daemon'
import { NbdClient } from '@sitelink/nbd'
import { CutProxy } from '../support/cut-proxy.js'
import { agentProgram, primaryProgram, removeFolder, temporaryFolder } from '../support/places.js'
import { mustRun, Program, runCommand } from '../support/program.js'
import { isInStep, slinkOf, type PrimaryStatus } from '../support/status-shape.js'
import { waitFor } from '../support/wait-for.js'

const MIB = 1024 * 1024
const DEVICE_BYTES = 16 * MIB
const HOST = `127.${100 + (process.pid % 100)}.${(process.pid >> 8) & 255}.${process.pid & 255}`

describe('an agent that dials the primary', () => {
  const folder = temporaryFolder('dial-in')
  const [state, agentState] = [join(folder, 'primary'), join(folder, 'agent')]
  const [local, copy] = [join(folder, 'local.img'), join(folder, 'copy.img')]
  const control = new ControlClient(state)
  const programs: Program[] = []
  let proxy: CutProxy
  let agent: Program

  const primary = (...words: string[]) => mustRun(primaryProgram, [...words, '--state', state])
  const onAgent = (...words: string[]) => mustRun(agentProgram, [...words, '--state', agentState])
  const startAgent = (): void => {
    // The first address leads nowhere: the second one is tried soon.
    const dial = ['--dial', `tls://${HOST}:1`, '--dial', `tls://${proxy.host}:${proxy.port}`]
    agent = Program.start('agent', agentProgram, ['run', '--state', agentState, ...dial])
    programs.push(agent)
  }
  const status = (): Promise<PrimaryStatus> => control.call<PrimaryStatus>('status', {}, { timeoutMs: 30_000 })
  const inStep = (): Promise<PrimaryStatus> =>
    waitFor('the site to be in step', async () => {
      const now = await status()
      return isInStep(slinkOf(now, 1)) ? now : null
    })
  async function write(fill: (at: number) => Buffer): Promise<void> {
    const client = await NbdClient.connect({ path: join(state, 'nbd.sock') }, { export: 'data' })
    const writes: Promise<void>[] = []
    for (let at = 0; at < DEVICE_BYTES; at += 65_536) writes.push(client.write(at, fill(at)))
    await Promise.all(writes)
    await client.flush()
    await client.disconnect()
  }

  before(async () => {
    mkdirSync(folder, { recursive: true })
    for (const path of [local, copy]) {
      writeFileSync(path, '')
      truncateSync(path, DEVICE_BYTES)
    }
    await primary('init', '--log', join(folder, 'log'), '--log-size', '64m')
    await onAgent('init', '--journal', join(folder, 'journal'), '--journal-size', '64m')
    await onAgent('device', 'add', 'data', copy)
    const fingerprint = async (run: typeof primary): Promise<string> => (await run('identity', 'show')).stdout.trim()
    await onAgent('peer', 'add', 'primary', await fingerprint(primary))
    await primary('device', 'add', '0', local, '--name', 'data')
    await primary('slink', 'add', '1', '--dialed-by', await fingerprint(onAgent), '--detect', '1s')
    await primary('device', 'map', '0', '--slink', '1', '--remote', 'data', '--dirty-log', 'disk', '--sync')
    const listen = ['--listen-agents', `tls://${HOST}:7374`]
    programs.push(Program.start('primary', primaryProgram, ['run', '--state', state, ...listen]))
    await waitFor('the primary to answer', async () => (await control.hello({ timeoutMs: 5000 })).verbs.length > 0)
    proxy = await CutProxy.listen({ targetHost: HOST, targetPort: 7374 })
  })
  after(async () => {
    for (const program of programs) await program.kill()
    await proxy.close()
    removeFolder(folder)
  })

  test('its slink waits for it and says so, then replicates over cuts, silence and kills, each write once', async () => {
    const waiting = slinkOf(await status(), 1) as unknown as { problem: string; link: string }
    assert.deepEqual([waiting.link, waiting.problem], ['dialing', 'it waits for the agent to dial'])
    startAgent()
    await write((at) => Buffer.alloc(65_536, `first ${at} `))
    await inStep()
    proxy.reset()
    await write((at) => Buffer.alloc(65_536, `second ${at} `))
    proxy.stall('in')
    await waitFor('the silence to be noticed', async () => !slinkOf(await status(), 1).connected)
    proxy.flow('in')
    await inStep()
    await agent.kill()
    await write((at) => Buffer.alloc(65_536, `third ${at} `))
    startAgent()
    await inStep()
    await waitFor('both devices to be equal', () =>
      Promise.resolve(readFileSync(local).equals(readFileSync(copy)) && readFileSync(copy).includes('third 65536')),
    )
    const rows = (await primary('slink', 'ls', '--json')).stdout
    assert.match(rows, /dials-in/)
  })

  test('an agent that is not pinned is refused at both ends, and the one that lives is not disturbed', async () => {
    const other = join(folder, 'other')
    const run = (...words: string[]) => mustRun(agentProgram, [...words, '--state', other])
    await run('init', '--journal', join(folder, 'other-journal'), '--journal-size', '8m')
    await run('peer', 'add', 'primary', (await primary('identity', 'show')).stdout.trim())
    const words = ['run', '--state', other, '--dial', `tls://${HOST}:7374`]
    const stranger = Program.start('stranger', agentProgram, words)
    programs.push(stranger)
    await waitFor('the stranger to be told', () => Promise.resolve(stranger.output.includes('dialling the primary:')))
    await waitFor('the primary to tell of it', async () =>
      (await primary('events')).stdout.includes('its key is not pinned for a slink whose agent dials'),
    )
    await stranger.kill()
    assert.equal(slinkOf(await status(), 1).connected, true)
    const plain = await runCommand(agentProgram, ['run', '--state', other, '--dial', 'tcp://127.0.0.1:1'])
    assert.equal(plain.status, 64)
    assert.match(plain.stderr, /over tls:\/\/ only/)
  })

  test('over a limited link auto brings text across in less than half of the time, and status says how', async () => {
    const line = (at: number, round: string): Buffer => {
      let text = ''
      for (let row = at; text.length < 65_536; row += 1)
        text += `2026-11-28T05:${row % 60} [${(row * 7919) % 99991}] ${round} request ${row} of user ${(row * 31) % 977} took ${row % 313} ms\n`
      return Buffer.from(text.slice(0, 65_536))
    }
    const seconds = async (compression: string): Promise<number> => {
      await primary('slink', 'set', '1', '--compression', compression, '--limit', '1500k')
      const started = performance.now()
      await write((at) => line(at, compression))
      await inStep()
      return (performance.now() - started) / 1000
    }
    const off = await seconds('off')
    const auto = await seconds('auto')
    assert.ok(off > 9, `${off} s for 16 MiB at 1500 KiB/s`)
    assert.ok(auto < off / 2, `${auto} s with compression, ${off} s without`)
    const text = (await primary('status')).stdout
    assert.match(text, /at most 1\.\d+ MiB\/s/)
    assert.match(text, /(brotli|zstd) \d/)
    console.log(`16 MiB of text at 1.5 MiB/s: off ${off.toFixed(1)} s, auto ${auto.toFixed(1)} s`)
    await primary('slink', 'set', '1', '--limit', 'none')
  })
})
