/**
 * One ring log and its owner, on a traced host: entries that are known by heart, a position that moves, promises noted.
 *
 * Owns the real log (`openRingLog`) on `/log` of a host. What it promised goes as marks into the trace: entries that are
 * in the file, entries that are durable, the owner's position once a superblock says it. Its recovery reads everything that
 * the log gives and compares it with what was appended; it knows nothing of groups, superblocks or positions.
 */
import assert from 'node:assert/strict'
import { encodeFrame, FrameType, type Frame } from '@sitelink/protocol'
import { openRingLog, type LogEntry, type RingLog, type RingLogListener } from '@sitelink/storage'
import { FaultDiskProvider, Prng, SimClock, type DiskLatency, type HostTrace } from '@sitelink/storage/testing'
import type { Death, Scenario } from './crash-points.js'

export const LOG = '/log'
export const LOG_BYTES = 2 * 1024 * 1024

/** What an entry of that LSN says; each life writes other bytes. */
function payloadOf(life: string, lsn: number, length: number): Buffer {
  const key = `${life} ${lsn} ${length}`
  const payload = payloads.get(key) ?? new Prng(key).bytes(length)
  payloads.set(key, payload)
  return payload
}
const payloads = new Map<string, Buffer>()

export interface LogPromises {
  /** LSNs up to which entries survive a kill, and a power cut. */
  readonly written: number
  readonly durable: number
  /** The owner's position that a superblock says, durably. */
  readonly position: number
  /** The highest position that the owner has ever said. */
  readonly said: number
}

export const NO_PROMISES: LogPromises = { written: 0, durable: 0, position: 0, said: 0 }

/** What a log that was opened gives. */
export interface LogFacts {
  readonly position: number
  /** Each entry from the tail on as `LSN=life`, a life of `?` where its bytes are nobody's. */
  readonly entries: readonly { readonly lsn: number; readonly life: string }[]
  readonly lastLsn: number
}

export class LogLife {
  #log: RingLog | null = null
  #position: number
  readonly #entries = new Map<number, LogEntry>()
  durableLsn = 0

  private constructor(
    readonly name: string,
    readonly clock: SimClock,
    position: number,
    public trace: HostTrace | null,
  ) {
    this.#position = position
  }

  /** A new log on a host of its own, whose disks take their time if `latency` says so. */
  static async create(clock = new SimClock(), latency?: DiskLatency): Promise<FaultDiskProvider> {
    const disks = new FaultDiskProvider({ prng: new Prng(1), clock, ...(latency === undefined ? {} : { latency }) })
    const life = new LogLife('none', clock, 0, null)
    const disk = await disks.create(LOG, LOG_BYTES)
    const opening = openRingLog({
      disk,
      mode: 'create',
      rule: 'dense',
      sparse: true,
      clock,
      random: new Prng(2),
      listener: life.#listener(),
    })
    const { log } = await clock.runUntil(opening)
    await clock.runUntil(log.close())
    return disks
  }

  /** Opens the log that lies there. The position is what its owner stored last. */
  static async open(
    disks: FaultDiskProvider,
    name: string,
    trace: HostTrace | null = null,
    clock = new SimClock(),
  ): Promise<LogLife> {
    const life = new LogLife(name, clock, 0, trace)
    const disk = await disks.open(LOG)
    const opening = openRingLog({
      disk,
      mode: 'open',
      rule: 'dense',
      clock,
      random: new Prng(name),
      listener: life.#listener(),
    })
    const { log, report } = await clock.runUntil(opening)
    assert.equal(report.holes.length, 0, 'no entry is damaged')
    life.#log = log
    life.#position = positionIn(log.ownerStateFound)
    return life
  }

  get log(): RingLog {
    assert(this.#log !== null, 'the log is open')
    return this.#log
  }

  append(length: number): LogEntry {
    const { log } = this
    const lsn = log.lastLsn + 1
    assert(log.hasRoom(1, length), `an entry of ${length} bytes has room`)
    const entry = log.append(this.#frame(lsn, length))
    this.#entries.set(lsn, entry)
    return entry
  }

  #frame(lsn: number, length: number): Frame {
    const { log } = this
    return encodeFrame(
      {
        type: FrameType.write,
        deviceId: 1,
        lsn,
        logId: log.identity,
        incarnation: log.incarnation.number,
        previousCrc: log.lastHeaderCrc,
        offset: 0,
        length,
      },
      payloadOf(this.name, lsn, length),
    )
  }

  /** The owner needs nothing up to this LSN any more. */
  release(lsn: number): void {
    const entry = this.#entries.get(lsn)
    assert(entry !== undefined, `LSN ${lsn} was appended in this life`)
    this.#position = lsn
    this.trace?.mark({ said: lsn })
    this.log.releaseBelow(entry.end)
  }

  /** Resolves when the position is in a durable superblock. */
  async store(): Promise<void> {
    const position = this.#position
    await this.clock.runUntil(this.log.writeSuperblock())
    this.trace?.mark({ position })
  }

  async sync(): Promise<void> {
    this.log.requestSync()
    await this.clock.advance(20)
  }

  /** Entries of that length until no more has room. */
  async fill(length: number): Promise<void> {
    while (this.log.hasRoom(1, length)) {
      this.append(length)
      await this.clock.settle()
    }
  }

  /** Entries until not a single block has room. */
  async fillUp(length: number): Promise<void> {
    for (let piece = length; piece >= 1; piece = Math.floor(piece / 2)) await this.fill(piece)
  }

  async facts(lives: ReadonlyMap<string, number>): Promise<LogFacts> {
    const { log } = this
    const entries: { lsn: number; life: string }[] = []
    const cursor = log.cursor(log.tail)
    for (;;) {
      const items = await cursor.next(256 * 1024)
      if (items === null) break
      for (const item of items) {
        assert('frame' in item, 'no entry is damaged')
        const { lsn, payload } = item.frame
        assert(payload !== null, 'an entry has a payload')
        const life = [...lives.keys()].find((name) => payloadOf(name, lsn, payload.length).equals(payload))
        entries.push({ lsn, life: life ?? '?' })
      }
    }
    cursor.close()
    return { position: positionIn(log.ownerStateFound), entries, lastLsn: log.lastLsn }
  }

  #listener(): RingLogListener {
    return {
      written: (entries) => this.trace?.mark({ written: entries.at(-1)?.frame.lsn ?? 0 }),
      durable: (_, lsn) => {
        this.durableLsn = lsn
        this.trace?.mark({ durable: lsn })
      },
      spaceFreed: () => undefined,
      failed: (error) => assert.fail(error.message),
      ownerState: () => ownerPart(this.#position),
    }
  }
}

/** The owner's part of a superblock, long enough that every superblock has several sectors that differ. */
function ownerPart(position: number): Buffer {
  const word = Buffer.alloc(4)
  word.writeUInt32LE(position)
  return Buffer.alloc(1200, word)
}

function positionIn(owner: Buffer): number {
  const position = owner.readUInt32LE(0)
  assert.deepEqual(owner, ownerPart(position), 'the owner finds what it once stored, as a whole')
  return position
}

/** Where in a log a change lies, in words. */
export function areaOfLog(offset: number): string {
  return offset < 256 * 1024 ? 'superblock' : 'ring'
}

/**
 * Every crash point of a log. `lives`: each life that wrote into it with its first LSN, oldest first; the last one is the
 * one that is traced.
 */
export function logScenario(
  trace: HostTrace,
  before: LogPromises,
  lives: ReadonlyMap<string, number>,
): Scenario<LogFacts, LogPromises> {
  return {
    trace,
    before,
    area: (_, offset) => areaOfLog(offset),
    numbered: ['reopen reopenLog'],
    promise: (promises, mark) => {
      const more = mark as Partial<LogPromises>
      return {
        written: Math.max(promises.written, more.written ?? 0),
        durable: Math.max(promises.durable, more.durable ?? 0),
        position: Math.max(promises.position, more.position ?? 0),
        said: Math.max(promises.said, more.said ?? 0),
      }
    },
    async recover(disks) {
      const life = await LogLife.open(disks, 'judge')
      return life.facts(lives)
    },
    judge: (facts, promises, death) => judgeLog(facts, promises, death, lives),
  }
}

export function judgeLog(
  { entries, lastLsn, position }: LogFacts,
  promises: LogPromises,
  death: Death,
  lives: ReadonlyMap<string, number>,
): string | null {
  const wanted = death === 'kill' ? promises.written : promises.durable
  if (lastLsn < wanted) return `LSN ${wanted} was promised, the log ends at ${lastLsn}`
  if (position < promises.position) return `position ${promises.position} was stored, ${position} is found`
  if (position > promises.said) return `position ${position} is found, at most ${promises.said} was ever said`
  const first = entries[0]?.lsn ?? lastLsn + 1
  if (first > position + 1) return `the owner stands at ${position}, the log begins at ${first}`
  for (const [at, { lsn, life }] of entries.entries()) {
    if (lsn !== first + at) return `LSN ${first + at} is missing`
    const owner = [...lives].findLast(([, firstLsn]) => lsn >= firstLsn)?.[0]
    if (life !== owner) return `LSN ${lsn} is of life ${life}, not ${owner}`
  }
  if (entries.length > 0 && entries.at(-1)?.lsn !== lastLsn) return `LSN ${lastLsn} cannot be read`
  return null
}
