/**
 * The verifier: compares ranges of the local devices with those of a site, at one place of the stream each, for one session.
 *
 * Owns the ranges that are being read, that wait for their place, and that wait for an answer, each bounded. It stops no
 * writer: a range is read like any other, and then the place is looked for at which the site must read the same.
 *
 *   since: the last entry in the overlay when the read was planned      until: the last one when it was over
 *
 *   An entry up to `since` is in what was read. One behind it that touches the range and came before `until` may be in it
 *   or not: the read is worth nothing, and the range is read again, in smaller pieces. If there is none, what was read is
 *   the range at every place from `until` up to the next entry that touches it. There the question is put, as a message
 *   between the frames, and the agent answers it from exactly that place. A stream that meets such an entry while the
 *   range is still being read waits for the end of that read.
 *
 * A region that is dirty may differ and is left out: when it is read, and when the question is put, because the stream
 * leaves out entries to it. Invariant: a question that was put is answered with what was read, unless the devices differ.
 */
import {
  must,
  rangeDigest,
  VERIFY_REQUESTS_MAX,
  WIRE_VERIFY,
  type Frame,
  type Lsn,
  type Session,
  type Verified,
} from '@sitelink/protocol'
import { whyUnreadable } from '@sitelink/storage'
import { VERIFY_LEFT_OUT_TURN_MAX, VERIFY_READS_MAX, VERIFY_WAITING_MAX } from '../limits.js'
import { RateGate, type RateGateOptions } from '../slink/rate-gate.js'
import type { VerifyRange, VerifyRun } from './verify-run.js'

/** The rate is shared with the copies of a resync. */
export interface VerifierOptions extends RateGateOptions {
  readonly session: Pick<Session, 'sendControl'>
  /** As agreed with the agent. */
  readonly wireVersion: number
  /** Reads a range through the overlay, planned in the same turn. */
  readonly read: (deviceId: number, offset: number, length: number) => Promise<readonly Buffer[]>
  /** The last entry in the overlay now. */
  readonly writtenLsn: () => Lsn
  /** The range is mapped as the run knows it, and its region is clean. */
  readonly isClean: (range: VerifyRange) => boolean
  /** Something may be put into the stream, or the stream need not wait any more. */
  readonly wake: () => void
}

/** What the stream does before an entry: passes it, waits for a read, or lets questions go first. */
export type VerifyVerdict = 'pass' | 'wait' | 'ask-first'

/** A range on its way to its place in the stream. */
interface Waiting {
  readonly range: VerifyRange
  readonly sinceLsn: Lsn
  /** Null while it is being read. */
  read: { readonly untilLsn: Lsn; readonly digest: Buffer } | null
}

interface Asked {
  readonly run: VerifyRun
  readonly range: VerifyRange
  readonly digest: Buffer
}

export class Verifier {
  readonly #options: VerifierOptions
  #run: VerifyRun | null = null
  #waiting: Waiting[] = []
  #reading = 0
  readonly #asked = new Map<number, Asked>()
  #lastId = 0
  readonly #gate: RateGate
  /** It has left out much in this turn, and goes on in a later one. */
  #resting = false
  #closed = false

  constructor(options: VerifierOptions) {
    this.#options = options
    this.#gate = new RateGate(options, () => this.pump())
  }

  /** Whether the agent can be asked. */
  get supported(): boolean {
    return this.#options.wireVersion >= WIRE_VERIFY
  }

  /** Works for this run from now on. Repeating it does nothing. */
  attach(run: VerifyRun): void {
    if (this.#run === run || this.#closed) return
    this.detach()
    this.#run = run
    this.pump()
  }

  /** Compares nothing more; answers that are still to come are not looked at. */
  detach(): void {
    this.#run = null
    this.#waiting = []
    this.#options.wake()
  }

  /** Starts as many reads as there may be. */
  pump(): void {
    const run = this.#run
    if (run === null || this.#closed || this.#resting) return
    let leftOut = 0
    while (
      this.#reading < VERIFY_READS_MAX &&
      this.#waiting.length < VERIFY_WAITING_MAX &&
      this.#waiting.length + this.#asked.size < VERIFY_REQUESTS_MAX
    ) {
      if (!this.#gate.mayGo()) return
      const range = run.take()
      if (range === null) return
      if (this.#options.isClean(range)) this.#read(run, range)
      else {
        run.note(range, 'left-out')
        leftOut += 1
        if (leftOut === VERIFY_LEFT_OUT_TURN_MAX) return this.#rest()
      }
    }
  }

  /** What the stream may do with an entry of the log that is next. */
  meets({ deviceId, lsn, offset, length }: Frame): VerifyVerdict {
    let verdict: VerifyVerdict = 'pass'
    for (let at = this.#waiting.length - 1; at >= 0; at -= 1) {
      const { range, sinceLsn, read } = this.#waiting[at] as Waiting
      if (lsn <= sinceLsn || deviceId !== range.device.deviceId) continue
      if (offset >= range.offset + range.length || offset + length <= range.offset) continue
      if (read === null) return 'wait'
      if (lsn > read.untilLsn) verdict = 'ask-first'
      else {
        this.#waiting.splice(at, 1)
        must(this.#run, 'what waits is of a run').split(range)
      }
    }
    return verdict
  }

  /** The stream stands behind this entry, and everything up to it is sent: questions whose place this is are put. */
  stands(lsn: Lsn): void {
    for (let at = 0; at < this.#waiting.length;) {
      const { range, read } = this.#waiting[at] as Waiting
      if (read === null || read.untilLsn > lsn) {
        at += 1
        continue
      }
      this.#waiting.splice(at, 1)
      this.#ask(range, read.digest)
    }
    this.pump()
  }

  /** An answer of the agent. False if nothing was asked under its number. */
  answered({ id, digest, problem }: Verified): boolean {
    const asked = this.#asked.get(id)
    if (asked === undefined) return false
    this.#asked.delete(id)
    const { run, range } = asked
    if (run === this.#run)
      run.note(
        range,
        digest === null
          ? { side: 'agent', why: problem ?? 'it does not say why' }
          : digest.equals(asked.digest)
            ? 'equal'
            : 'different',
      )
    this.pump()
    return true
  }

  /** The session is over: what has no answer is compared in another. */
  close(): void {
    this.#closed = true
    this.#gate.close()
    const run = this.#run
    if (run === null) return
    for (const { range } of this.#waiting) run.giveBack(range)
    for (const asked of this.#asked.values()) if (asked.run === run) run.giveBack(asked.range)
    this.#run = null
    this.#waiting = []
  }

  #read(run: VerifyRun, range: VerifyRange): void {
    const { read, writtenLsn, wake } = this.#options
    const waiting: Waiting = { range, sinceLsn: writtenLsn(), read: null }
    this.#waiting.push(waiting)
    this.#reading += 1
    this.#gate.spend(range.length)
    read(range.device.deviceId, range.offset, range.length).then(
      (pieces) => {
        if (this.#isOver(waiting)) return
        waiting.read = { untilLsn: writtenLsn(), digest: rangeDigest(pieces) }
        wake()
      },
      (error: unknown) => {
        if (this.#isOver(waiting)) return
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        run.note(range, { side: 'primary', why: whyUnreadable(error) })
        wake()
      },
    )
  }

  /** A read is over. True if nobody wants any more what it was for. */
  #isOver(waiting: Waiting): boolean {
    this.#reading -= 1
    if (!this.#closed && this.#waiting.includes(waiting)) return false
    this.pump()
    return true
  }

  #ask(range: VerifyRange, digest: Buffer): void {
    const run = must(this.#run, 'what waits is of a run')
    if (!this.#options.isClean(range)) return run.note(range, 'left-out')
    this.#lastId += 1
    this.#asked.set(this.#lastId, { run, range, digest })
    const { offset, length } = range
    this.#options.session.sendControl({
      kind: 'verify',
      id: this.#lastId,
      deviceId: range.device.deviceId,
      offset,
      length,
    })
  }

  #rest(): void {
    this.#resting = true
    this.#options.clock.soon(() => {
      this.#resting = false
      this.pump()
    })
  }
}
