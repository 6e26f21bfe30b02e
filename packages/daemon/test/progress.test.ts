import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Progress } from '../src/index.js'
import { startChild } from './support/child.js'
import { ManualClock } from './support/manual-clock.js'

const MIB = 2 ** 20

function recorder(isTTY: boolean): {
  stream: { write(text: string): void; isTTY: boolean; columns: number }
  text: () => string
} {
  let text = ''
  return { stream: { write: (part) => void (text += part), isTTY, columns: 100 }, text: () => text }
}

describe('a progress display', () => {
  it('redraws one line on a terminal, with share, rate and time to go, and gives the cursor back', async () => {
    const clock = new ManualClock()
    const { stream, text } = recorder(true)
    const progress = new Progress({ label: 'resync of slink 1', clock, stream })
    for (let done = 0; done <= 50; done += 10) {
      progress.update(done * MIB, 100 * MIB)
      await clock.advance(1000)
    }
    assert.equal(progress.bytesPerSecond, 10 * MIB)
    assert.equal(progress.etaMs, 5000)
    const last = text().split('\r\u001b[2K').at(-1)
    assert.equal(last, 'resync of slink 1 [############............] 50%, 50 MiB of 100 MiB, 10 MiB/s, ETA 5s')
    progress.finish('done')
    progress.finish()
    assert.ok(text().startsWith('\u001b[?25l'))
    assert.ok(text().endsWith('\r\u001b[2K\u001b[?25hdone\n'))
    assert.ok(!text().slice(0, -6).includes('\n'))
  })

  it('is drawn at most ten times a second and never wider than the terminal', async () => {
    const clock = new ManualClock()
    const { stream, text } = recorder(true)
    const progress = new Progress({ label: 'x'.repeat(300), clock, stream })
    for (let n = 0; n < 1000; n += 1) {
      progress.update(n, 1000)
      await Promise.resolve(clock.advance(1))
    }
    const drawn = text().split('\r\u001b[2K').slice(1)
    assert.ok(drawn.length <= 11, `${drawn.length} times`)
    for (const line of drawn) assert.ok(line.length <= 99)
    progress.finish()
  })

  it('is a line each 10 percent where it is no terminal, and a line in between where it takes long', async () => {
    const clock = new ManualClock()
    const { stream, text } = recorder(false)
    const progress = new Progress({ label: 'resync', clock, stream, lineMsMin: 1000, lineMsMax: 30_000 })
    for (let done = 0; done <= 1000; done += 1) {
      progress.update(done, 1000)
      await clock.advance(done > 500 && done < 520 ? 5000 : 100)
    }
    progress.finish()
    const lines = text().trimEnd().split('\n')
    assert.ok(!text().includes('\u001b') && !text().includes('\r'))
    assert.match(lines[0] ?? '', /^resync 0%, 0 B of 1000 B, -, ETA unknown$/)
    assert.match(lines.at(-1) ?? '', /^resync 100%, 1000 B of 1000 B, 10 B\/s$/)
    assert.ok(lines.length >= 13 && lines.length <= 15, `${lines.length} lines`)
  })

  it('says nothing with --json', () => {
    const { stream, text } = recorder(true)
    const progress = new Progress({ label: 'x', clock: new ManualClock(), stream, silent: true })
    progress.update(1, 2)
    progress.finish('done')
    assert.equal(text(), '')
  })

  it('shows a stall as a falling rate, not as the mean of the whole', async () => {
    const clock = new ManualClock()
    const progress = new Progress({ label: 'x', clock, stream: recorder(true).stream })
    for (let n = 0; n < 100; n += 1) {
      progress.update(Math.min(n, 50) * MIB, 100 * MIB)
      await clock.advance(200)
    }
    assert.equal(progress.bytesPerSecond, 0)
    assert.equal(progress.etaMs, null)
    progress.finish()
  })

  it('gives the cursor back on Ctrl-C, and the process ends by that signal', async (t) => {
    const child = startChild(t, 'draw-progress', ['go'])
    assert.equal(await child.line(), 'drawing')
    child.process.kill('SIGINT')
    const { signal, stderr } = await child.ended()
    assert.equal(signal, 'SIGINT')
    assert.ok(stderr.endsWith('\n\u001b[?25h'), JSON.stringify(stderr))
  })
})
