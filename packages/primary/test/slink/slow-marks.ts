/**
 * A site with one device whose dirty logs are stored only when a test says so: what waits for them is seen to wait.
 *
 * Owns the gate. Everything else of the site is real, or answers what its caller needs and nothing more.
 */
import { FrameType, ORIGIN, wirePoint, type Frame, type LogPoint, type Session } from '@sitelink/protocol'
import { DirtyLog, type RingLog } from '@sitelink/storage'
import { SimClock } from '@sitelink/storage/testing'
import { MappingSet } from '../../src/slink/mapping-set.js'
import { Mapping } from '../../src/slink/mapping.js'
import { LINK_TERMS_DEFAULT } from '../../src/slink/link-terms.js'
import { Place } from '../../src/slink/place.js'
import type { SlinkContext } from '../../src/slink/slink-context.js'
import type { Slink } from '../../src/slink/slink.js'
import { pointOfStanding, type Standing } from '../../src/slink/standing.js'

export const MIB = 1024 * 1024
export const GROUP = '01234567-89ab-cdef-0123-456789abcdef'
export const MAPPING_ID = '00000000-0000-4000-8000-000000000001'

/** A promise that ends when it is told to. */
export class Gate {
  open: () => void = () => undefined
  readonly opened: Promise<void>
  constructor() {
    this.opened = new Promise((resolve) => (this.open = resolve))
  }
}

export class SlowMarks extends MappingSet {
  readonly gate = new Gate()
  readonly flushedTo: LogPoint[] = []
  override async flush(marksTo: LogPoint): Promise<void> {
    this.flushedTo.push(marksTo)
    await this.gate.opened
    await super.flush(marksTo)
  }
}

/** True once `promise` has ended; everything that can go on without it has gone on. */
export async function hasEnded(promise: Promise<unknown>): Promise<boolean> {
  let ended = false
  promise.then(
    () => (ended = true),
    () => (ended = true),
  )
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
  return ended
}

export class SlowSite {
  readonly clock = new SimClock()
  readonly marks = new SlowMarks()
  readonly sent: Frame[] = []
  readonly recorded: { agent: string; journal: string }[] = []
  readonly recording = new Gate()
  peer: { agent: string; journal: string } | null = null
  lastLsn = 20
  durableLsn = 20
  standing: Standing
  readonly slink: Slink
  readonly context: SlinkContext
  readonly session: Session

  private constructor(standing: Standing) {
    this.standing = standing
    const slink = {
      number: 1,
      mappings: this.marks,
      config: LINK_TERMS_DEFAULT,
      flushMarks: () => this.marks.flush({ incarnation: 1, lsn: 20 }),
      becomePlaced: (place: Place) => void (this.standing = { kind: 'log', place, announced: false }),
      announceAfter: () => {},
    }
    Object.defineProperty(slink, 'standing', { get: () => this.standing })
    Object.defineProperty(slink, 'point', { get: () => pointOfStanding(this.standing) })
    this.slink = slink as unknown as Slink
    this.context = {
      clock: this.clock,
      log: this.#log(),
      event: () => {},
      appended: () => ({ incarnation: 1, lsn: this.lastLsn }),
      written: () => ({ point: { incarnation: 1, lsn: this.lastLsn }, position: 4096 }),
      readInto: () => new Promise(() => {}),
      read: () => new Promise(() => {}),
      peer: () => this.peer,
      recordPeer: async (_: number, record: { agent: string; journal: string }) => {
        await this.recording.opened
        this.recorded.push(record)
      },
    } as unknown as SlinkContext
    this.session = {
      ended: false,
      writable: true,
      creditBytes: 64 * MIB,
      streamFrames: 0,
      idle: () => {},
      sendFrames: (frames: readonly Frame[]) => {
        this.sent.push(...frames)
        return true
      },
    } as unknown as Session
  }

  /** `initial`: of its one device, which has 8 regions. */
  static async make(standing: Standing, initial: 'all-dirty' | 'all-clean'): Promise<SlowSite> {
    const site = new SlowSite(standing)
    const identity = {
      groupId: GROUP,
      mappingId: MAPPING_ID,
      logId: { high: 1, low: 2 },
      deviceId: 1,
      regionBytes: MIB,
      deviceBytes: 8 * MIB,
    }
    const config = {
      deviceId: 1,
      mappingId: MAPPING_ID,
      remote: 'data',
      dirtyLog: { type: 'core' as const },
      regionBytes: MIB,
      initial: 'sync' as const,
      since: wirePoint(ORIGIN),
    }
    const device = { number: 0, name: 'data', sizeBytes: 8 * MIB }
    site.marks.add(new Mapping(config, device, await DirtyLog.create(null, identity, { initial })))
    return site
  }

  get sentTypes(): FrameType[] {
    return this.sent.map(({ type }) => type)
  }

  #log(): RingLog {
    const log = {
      identity: { high: 1, low: 2 },
      incarnation: { number: 1, id: { high: 0, low: 1 }, firstLsn: 1 },
      incarnations: [{ number: 1, id: { high: 0, low: 1 }, firstLsn: 1 }],
      lastHeaderCrc: 0,
      writtenEnd: 4096,
      locate: () => Promise.resolve(4096),
      cursor: () => ({ next: () => null, close() {} }),
    }
    Object.defineProperty(log, 'lastLsn', { get: () => this.lastLsn })
    Object.defineProperty(log, 'durableLsn', { get: () => this.durableLsn })
    return log as unknown as RingLog
  }
}
