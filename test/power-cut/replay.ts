/**
 * Cuts the power of each host of a recording at many moments, recovers what is left, and judges it.
 *
 * Owns the choice of moments and policies, from a seed. Each recovered image has to be the history cut at one entry,
 * exactly, and not before what a flush made safe; and a filesystem that its own journal makes whole, with everything that
 * was synced in it, for as many of them as there is time for.
 */
import assert from 'node:assert/strict'
import type { FaultDiskProvider, PowerCutPolicy, Prng } from '@sitelink/storage/testing'
import { judge, JUDGES } from './filesystem.js'
import { differences } from './image.js'
import { PRIMARY } from './live-pair.js'
import { HostWalk } from './rebuild.js'
import { JOINING, RESYNCED, type OwedHere, type Recording } from './recording.js'
import { recoverAgent, recoverPrimary, type Shown } from './recovered.js'
import type { TraceEvent } from './trace.js'

/** One cut of so many is shown to the filesystem's own tools, which take much longer than the rest. */
const JUDGED_OF = 3

/** What a host was found to be. */
export interface Count {
  cuts: number
  /** Cuts after which the site said itself that it is no prefix. */
  inconsistent: number
  /** Those of them after which its devices really were none. */
  noPrefix: number
  /** Images that were held against the history and what flushes made safe. */
  images: number
  /** Different ones among them, which the filesystem's own tools judged. */
  judged: number
}

export interface ReplayOptions {
  readonly recording: Recording
  readonly prng: Prng
  /** How many moments for each host. */
  readonly cuts: number
}

/** Judges all hosts; rejects with everything that is wrong at the first moment where anything is. */
export async function replayAll(options: ReplayOptions): Promise<ReadonlyMap<string, Count>> {
  const counts = new Map<string, Count>()
  for (const host of [PRIMARY, ...options.recording.options.sites.map(({ name }) => name)])
    counts.set(host, await replayHost(host, options))
  return counts
}

async function replayHost(host: string, { recording, prng, cuts }: ReplayOptions): Promise<Count> {
  const { pair } = recording
  const chance = prng.fork(`cuts of ${host}`)
  const walk = new HostWalk(host, pair.base(host), pair.trace.events)
  const judges = new Judges(recording)
  const count: Count = { cuts: 0, inconsistent: 0, noPrefix: 0, images: 0, judged: 0 }
  for (const end of momentsOf(host, recording, chance, cuts)) {
    await walk.advance(end)
    const [words, policy] = policyOf(chance)
    const where = `${host} after event ${end} of ${pair.trace.events.length}, ${words}`
    const disks = await walk.cut(policy, chance.fork(`cut ${end}`))
    count.cuts++
    try {
      const claims =
        host === PRIMARY
          ? await primaryClaims(disks, recording, end)
          : await siteClaims(host, disks, recording, end, count)
      for (const claim of claims) judges.compare(claim)
      count.images += claims.length
      if (count.cuts % JUDGED_OF === 0) for (const claim of claims) await judges.take(claim, where)
    } catch (error) {
      throw judges.failure ?? new Error(`${where}: ${(error as Error).message}`, { cause: error })
    }
  }
  await judges.done()
  count.judged = judges.judged
  return count
}

/** So many moments, rising; for a site that was resynced half of them during the resync, and the others behind it. */
function momentsOf(host: string, { pair: { trace }, options }: Recording, prng: Prng, count: number): number[] {
  if (host === PRIMARY || options.join === 'first') return draw(host, trace.events, 0, prng, count)
  const [joining, resynced] = [trace.first(JOINING), trace.first(RESYNCED)]
  return [
    ...draw(host, trace.events.slice(0, resynced), joining, prng, Math.floor(count / 2)),
    ...draw(host, trace.events, resynced, prng, Math.ceil(count / 2)),
  ]
}

/**
 * A third right behind a promise, when what it rests on has had the least time; a third at ends of syncs of this host; the
 * others anywhere between its events. None is before the event `from`.
 */
function draw(host: string, events: readonly TraceEvent[], from: number, prng: Prng, count: number): number[] {
  const promises: number[] = []
  const syncs: number[] = []
  const all: number[] = []
  for (const [at, event] of events.entries()) {
    if (at < from) continue
    if (event.kind === 'mark') promises.push(at + 1)
    else if (event.host === host) {
      all.push(at + 1)
      if (event.kind === 'end' && event.operation.kind === 'sync') syncs.push(at + 1)
    }
  }
  const chosen = new Set<number>()
  for (const [moments, upTo] of [
    [promises, count / 3],
    [syncs, (2 * count) / 3],
    [all, count],
  ] as const) {
    for (const moment of prng.shuffle(moments)) {
      if (chosen.size >= upTo) break
      chosen.add(moment)
    }
  }
  return [...chosen].sort((a, b) => a - b)
}

function policyOf(prng: Prng): [words: string, policy: PowerCutPolicy] {
  const dice = prng.below(10)
  if (dice < 3) return ['everything unsynced lost', { kind: 'lose-all' }]
  if (dice < 4) return ['everything unsynced kept', { kind: 'keep-all' }]
  return ['some of the unsynced sectors lost', { kind: 'random' }]
}

/** Something that a host shows, and what is owed there. */
interface Claim extends Shown {
  readonly what: string
  readonly owed: OwedHere
}

const NOTHING: OwedHere = { ledger: 0, manifest: 0, lsn: 0 }

async function primaryClaims(disks: FaultDiskProvider, recording: Recording, end: number): Promise<Claim[]> {
  return [{ what: 'read through the exports', ...(await recoverPrimary(disks)), owed: recording.owed(end, null) }]
}

async function siteClaims(
  host: string,
  disks: FaultDiskProvider,
  recording: Recording,
  end: number,
  count: Count,
): Promise<Claim[]> {
  const { pair, options } = recording
  const owed = recording.owed(end, host)
  const found = await recoverAgent(disks, { devices: pair.devicesOfAgents, journalBytes: pair.journalBytes })
  if (found.kind === 'consistent') {
    const { applied, promoted } = found
    return [
      { what: 'as applied', ...applied, owed: NOTHING },
      { what: 'as promoted', ...promoted, owed },
    ]
  }
  assert.equal(options.join, 'half-way', 'a site that needs no resync is consistent')
  assert.deepEqual(owed, NOTHING, 'a site that guards writers is consistent')
  count.inconsistent++
  const { shown } = found
  if (shown !== null && differences(shown.images, pair.history.at(shown.lsn)).length > 0) count.noPrefix++
  return []
}

/** Judges claims, several at a time, and each different one once. */
class Judges {
  readonly #recording: Recording
  readonly #seen = new Set<string>()
  readonly #working = new Set<Promise<void>>()
  /** What is wrong with the first that was found bad. */
  failure: Error | null = null

  constructor(recording: Recording) {
    this.#recording = recording
  }

  get judged(): number {
    return this.#seen.size
  }

  /** Throws if devices are not the history cut at one entry, or at one that is too early. */
  compare({ what, lsn, images, owed }: Claim): void {
    const { pair, madeLsn } = this.#recording
    assert(lsn >= owed.lsn, `${what}: it shows LSN ${lsn}, a flush made LSN ${owed.lsn} safe`)
    assert(lsn >= madeLsn, `${what}: it shows LSN ${lsn}, the filesystem was made by LSN ${madeLsn}`)
    const wrong = differences(images, pair.history.at(lsn))
    assert.deepEqual(wrong, [], `${what}: the devices are the history cut at LSN ${lsn}`)
  }

  /** Lets the filesystem's tools judge, unless they did already; throws what they said of an earlier one. */
  async take({ what, lsn, images, owed }: Claim, where: string): Promise<void> {
    if (this.failure !== null) throw this.failure
    // They were compared: images of one LSN are equal.
    const key = `${lsn} ${owed.ledger} ${owed.manifest}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    while (this.#working.size >= JUDGES) await Promise.race(this.#working)
    const work = judge(this.#recording.options.kind, images, owed)
      .then((wrong) => {
        if (wrong.length > 0) this.failure ??= new Error(`${where}, ${what}, LSN ${lsn}:\n${wrong.join('\n')}`)
      })
      .catch((error: Error) => void (this.failure ??= error))
      .finally(() => this.#working.delete(work))
    this.#working.add(work)
  }

  async done(): Promise<void> {
    await Promise.all(this.#working)
    if (this.failure !== null) throw this.failure
  }
}
