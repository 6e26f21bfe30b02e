/**
 * The write path: from a request to entries in the log, in one order for the whole group.
 *
 * Owns admission (a FIFO: what does not fit waits, nothing overtakes), the split into entries, LSNs, and framing. The
 * answer is `Holds`' business. It never waits itself and never allocates more per entry than the frame and its slot.
 *
 *   submit -> room? -> split -> frame (LSN, CRC) -> log.append -> holds.write
 *              '-- no: waiting, in order, until `pump`
 */
import {
  encodeFrame,
  ENTRY_BOUNDARY_BYTES,
  FRAME_HEADER_BYTES,
  FrameFlag,
  FrameType,
  RANGE_BYTES_MAX,
  type Clock,
  type Lsn,
} from '@sitelink/protocol'
import type { RingLog, WriteBack } from '@sitelink/storage'
import type { Held, Holds } from './holds.js'
import type { LagLedger } from './lag-ledger.js'

/** A change of one device, as an NBD request or a test makes it. Answered once, through `complete`. */
export interface WriteRequest extends Held {
  readonly operation: 'write' | 'trim' | 'write-zeroes'
  readonly offset: number
  readonly length: number
  readonly fua: boolean
  readonly payload: Buffer | null
  readonly noHole: boolean
}

/** What the write path asks of its group. */
export interface WritePathOwner {
  /** `run`; `hold`: requests wait (suspended, starting); `refuse`: they fail with EIO. */
  admission(): 'run' | 'hold' | 'refuse'
  /** A request had to wait for room in the log. */
  logShort(): void
  /** An entry got its place in the order: dirty marks of sites without a place in the log. Before the next entry. */
  appended(deviceId: number, offset: number, length: number): void
  /** A request has all its entries and waits for its answer: fall-behind is judged now, for the requests after it. */
  admitted(): void
  /** A flush waits; if everything is durable already, nothing else will tell. */
  flushed(): void
}

/** Headers are cut from slabs of so many. */
const SLAB_HEADERS = 256

/** Entries that a request of the largest size makes at most are admitted in pieces of this many. */
const ENTRIES_PER_STEP_MAX = 64

interface Waiting {
  readonly deviceId: number
  readonly request: WriteRequest
}

export class WritePath {
  readonly #log: RingLog
  readonly #writeBack: WriteBack
  readonly #holds: Holds
  readonly #ledger: LagLedger
  readonly #clock: Clock
  readonly #owner: WritePathOwner
  readonly #waiting: Waiting[] = []
  #waitingHead = 0
  /** Bytes of the first waiting request that have already been appended. */
  #firstDone = 0
  #headSinceMs = 0
  #slab = Buffer.alloc(0)
  #slabAt = 0
  #lsn: Lsn
  #headerCrc: number
  /** A flush came after the last entry. */
  #flushPending: boolean
  #pumping = false

  constructor(parts: {
    log: RingLog
    writeBack: WriteBack
    holds: Holds
    ledger: LagLedger
    clock: Clock
    owner: WritePathOwner
  }) {
    this.#log = parts.log
    this.#writeBack = parts.writeBack
    this.#holds = parts.holds
    this.#ledger = parts.ledger
    this.#clock = parts.clock
    this.#owner = parts.owner
    this.#lsn = parts.log.lastLsn
    this.#headerCrc = parts.log.lastHeaderCrc
    // Whether one was answered before this start nobody knows any more.
    this.#flushPending = this.#lsn > 0
  }

  /** The last LSN given out. */
  get lastLsn(): Lsn {
    return this.#lsn
  }

  get waitingCount(): number {
    return this.#waiting.length - this.#waitingHead
  }

  /** How long the first that waits has been the first, in milliseconds; 0 if nobody waits. */
  headWaitMs(nowMs: number): number {
    return this.waitingCount === 0 ? 0 : nowMs - this.#headSinceMs
  }

  /** Takes over a change. It is answered when log and sites have it, or with EIO. */
  submit(deviceId: number, request: WriteRequest): void {
    if (this.waitingCount > 0 || this.#owner.admission() !== 'run') {
      this.#wait(deviceId, request)
      if (this.waitingCount === 1) this.pump()
      return
    }
    const done = this.#admit(deviceId, request, 0)
    if (done >= request.length) return
    this.#firstDone = done
    this.#wait(deviceId, request)
    this.#owner.logShort()
  }

  /** A flush covers every write that was answered before it; all that were given an LSN, in fact. */
  flush(item: Held): void {
    if (this.#owner.admission() === 'refuse') {
      item.complete(5)
      return
    }
    this.#flushPending = this.#lsn > 0
    this.#holds.flush(this.#lsn, item)
    if (this.#log.durableLsn < this.#lsn) this.#log.requestSync()
    this.#owner.flushed()
  }

  /** Tries the waiting requests again, in order. To be called when room or state may have changed. */
  pump(): void {
    // Admitting a request may change who is waited for, and answer others; both lead back here in the middle of it.
    if (this.#pumping) return
    this.#pumping = true
    const short = this.#admitWaiting()
    this.#pumping = false
    if (short) this.#owner.logShort()
  }

  /** True if the first that waits finds no room. */
  #admitWaiting(): boolean {
    while (this.waitingCount > 0) {
      const admission = this.#owner.admission()
      if (admission === 'hold') return false
      const { deviceId, request } = this.#waiting[this.#waitingHead] as Waiting
      if (admission === 'refuse') {
        this.#shift()
        request.complete(5)
        continue
      }
      this.#firstDone = this.#admit(deviceId, request, this.#firstDone)
      if (this.#firstDone < request.length) return true
      this.#shift()
    }
    return false
  }

  /** Fails what waits for `deviceId`, which goes away. */
  failDevice(deviceId: number): void {
    const kept: Waiting[] = []
    const failed: Waiting[] = []
    for (const item of this.#waiting.slice(this.#waitingHead)) (item.deviceId === deviceId ? failed : kept).push(item)
    if (this.#waiting[this.#waitingHead]?.deviceId === deviceId) this.#firstDone = 0
    this.#waiting.splice(0, this.#waiting.length, ...kept)
    this.#waitingHead = 0
    for (const item of failed) item.request.complete(5)
  }

  #wait(deviceId: number, request: WriteRequest): void {
    if (this.waitingCount === 0) this.#headSinceMs = this.#clock.nowMs()
    this.#waiting.push({ deviceId, request })
  }

  #shift(): void {
    this.#firstDone = 0
    this.#headSinceMs = this.#clock.nowMs()
    this.#waitingHead += 1
    if (this.#waitingHead === this.#waiting.length) {
      this.#waiting.length = 0
      this.#waitingHead = 0
    } else if (this.#waitingHead > 1024) {
      this.#waiting.splice(0, this.#waitingHead)
      this.#waitingHead = 0
    }
  }

  /** Appends as much of the request as fits from byte `done` on; registers the answer with its last entry. */
  #admit(deviceId: number, request: WriteRequest, done: number): number {
    const { operation, payload, length } = request
    const step = operation === 'write' ? ENTRY_BOUNDARY_BYTES : RANGE_BYTES_MAX
    const type =
      operation === 'write'
        ? FrameType.write
        : operation === 'trim'
          ? FrameType.trim
          : request.noHole
            ? FrameType.zeroes
            : FrameType.trim
    let entries = 0
    while (done < length) {
      const offset = request.offset + done
      const bytes = Math.min(length - done, step - (offset % step))
      const payloadBytes = payload === null ? 0 : bytes
      if (!this.#log.hasRoom(1, payloadBytes) || !this.#writeBack.hasRoom(payloadBytes)) return done
      const body = payload === null ? null : bytes === payload.length ? payload : payload.subarray(done, done + bytes)
      this.#append(deviceId, type, offset, bytes, body, request.fua)
      done += bytes
      entries += 1
      if (entries === ENTRIES_PER_STEP_MAX && done < length) this.#log.requestSync()
    }
    this.#holds.write(this.#lsn, request.fua, request)
    if (request.fua || this.#holds.wantDurable) this.#log.requestSync()
    this.#owner.admitted()
    return done
  }

  #append(
    deviceId: number,
    type: FrameType,
    offset: number,
    length: number,
    payload: Buffer | null,
    fua: boolean,
  ): void {
    if (this.#slabAt === this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_HEADERS * FRAME_HEADER_BYTES)
      this.#slabAt = 0
    }
    const header = this.#slab.subarray(this.#slabAt, this.#slabAt + FRAME_HEADER_BYTES)
    this.#slabAt += FRAME_HEADER_BYTES
    const lsn = this.#lsn + 1
    const frame = encodeFrame(
      {
        type,
        flags: (fua ? FrameFlag.fua : 0) | (this.#flushPending ? FrameFlag.flushBefore : 0),
        deviceId,
        lsn,
        logId: this.#log.identity,
        incarnation: this.#log.incarnation.number,
        previousCrc: this.#headerCrc,
        offset,
        length,
        wallUs: this.#clock.wallUs(),
        durableLsn: this.#log.durableLsn,
      },
      payload,
      header,
    )
    this.#lsn = lsn
    this.#headerCrc = frame.headerCrc
    this.#flushPending = false
    this.#log.append(frame)
    this.#ledger.note(lsn, length, this.#clock.nowMs())
    this.#owner.appended(deviceId, offset, length)
  }
}
