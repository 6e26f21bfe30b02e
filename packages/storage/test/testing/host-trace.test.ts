import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FaultDiskProvider, HostTrace, type HostEvent } from '../../src/testing/index.js'

const KIB = 1024
const filled = (value: number, length: number): Buffer => Buffer.alloc(length, value)

function words(events: readonly HostEvent[], trace: HostTrace): string[] {
  const paths = new Map([...trace.start].map(([path, { id }]) => [id, path]))
  return events.map((event) => {
    if (event.kind === 'named') paths.set(event.file.id, event.path)
    if (event.kind === 'mark') return `mark ${String(event.mark)}`
    if (event.kind === 'removed' || event.kind === 'named') return `${event.kind} ${event.path}`
    return `${event.kind} ${paths.get(event.file)}`
  })
}

describe('HostTrace', () => {
  it('writes, syncs, sizes, names and marks of all disks stand in the one order in which they happened', async () => {
    const disks = new FaultDiskProvider()
    disks.addDevice('/dev/a', 64 * KIB)
    const a = await disks.open('/dev/a')
    await a.write([filled(1, 512)], 0)
    await a.sync()
    const trace = disks.startTrace()
    const b = await disks.create('/b', 4 * KIB)
    await b.write([filled(2, 512)], 0)
    await a.write([filled(3, 512)], 512)
    trace.mark('between')
    await b.resize(8 * KIB)
    await b.sync()
    await disks.replaceFile('/c', filled(4, 10))
    await disks.removeFile('/c')
    await disks.removeFile('/none')
    trace.stop()
    await a.sync()
    assert.deepEqual(words(trace.events, trace), [
      'named /b',
      'change /b',
      'change /dev/a',
      'mark between',
      'resized /b',
      'synced /b',
      'named /c',
      'removed /c',
    ])
    const start = Buffer.alloc(512)
    trace.start.get('/dev/a')?.content.read(start, 0)
    assert.deepEqual(start, filled(1, 512))
  })

  it('what was unsynced when it began comes first, and is counted as given', async () => {
    const disks = new FaultDiskProvider()
    disks.addDevice('/dev/a', 64 * KIB)
    const a = await disks.open('/dev/a')
    await a.write([filled(1, 512)], 0)
    const trace = disks.startTrace()
    await a.sync()
    assert.deepEqual(words(trace.events, trace), ['change /dev/a', 'synced /dev/a'])
    assert.equal(trace.givenCount, 1)
    const start = Buffer.alloc(512)
    trace.start.get('/dev/a')?.content.read(start, 0)
    assert.deepEqual(start, filled(0, 512), 'durable is only what was synced')
  })

  it('two hosts are told apart in one order, also where their files have the same names', async () => {
    const [one, two] = [new FaultDiskProvider(), new FaultDiskProvider()]
    for (const disks of [one, two]) disks.addDevice('/dev/a', 64 * KIB)
    const trace = one.startTrace('one:')
    two.startTrace('two:', trace)
    for (const disks of [two, one]) await (await disks.open('/dev/a')).write([filled(1, 512)], 0)
    assert.deepEqual(words(trace.events, trace), ['change two:/dev/a', 'change one:/dev/a'])
  })

  it('the next process of a host goes on in the same trace, and a sync under way when its process dies is no event', async () => {
    const disks = new FaultDiskProvider()
    disks.addDevice('/dev/a', 64 * KIB)
    const trace = disks.startTrace()
    const a = await disks.open('/dev/a')
    await a.write([filled(1, 512)], 0)
    void a.sync()
    const next = disks.crashProcess('none')
    await (await next.open('/dev/a')).write([filled(2, 512)], 512)
    assert.deepEqual(words(trace.events, trace), ['change /dev/a', 'change /dev/a'])
  })

  it('a sync says which functions outside the simulation asked for it', async () => {
    const disks = new FaultDiskProvider()
    disks.addDevice('/dev/a', 64 * KIB)
    const trace = disks.startTrace()
    const a = await disks.open('/dev/a')
    async function whoWantsItDurable(): Promise<void> {
      await a.sync()
    }
    await whoWantsItDurable()
    const event = trace.events.at(-1)
    assert(event?.kind === 'synced')
    assert.match(event.askedBy, /^host-trace\.test whoWantsItDurable/)
  })
})
