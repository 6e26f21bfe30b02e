/**
 * Judges whether what a group of devices shows is a prefix of what was written to it, over all devices together.
 *
 * A pure function of a history and of what the blocks show. It is exact: it finds no fault if and only if there is an
 * order of the writes that respects every answer before an invocation, and a point in that order, such that each block
 * shows the last write before the point. How:
 *
 *   - Every write has an interval in which it took effect, from its invocation to its end. The prefix ends at some
 *     moment T. Writes that are shown, and acknowledged writes that ended before T, are in it.
 *   - If a write is in it but one of its blocks shows another write, that other one came later. This moves the earliest
 *     moment of the other one up; a shown write's earliest moment moves T up; T brings in more writes. Repeat.
 *   - A fault is: a write that would have to take effect after its end; two writes that would each have to come after
 *     the other; a write in the prefix over which nothing was written, but whose block shows something older.
 */
import type { History, WriteRecord } from './history.js'
import type { Shown } from './stamp.js'

export interface PrefixQuestion {
  readonly history: History
  /** What each block of each device shows. */
  readonly shown: readonly (readonly Shown[])[]
  /** Writes acknowledged before this moment must be there. Default: none must. */
  readonly requiredUntil?: number
}

export interface PrefixAnswer {
  /** Sentences; none if it is a prefix. */
  readonly faults: readonly string[]
  /** The prefix holds at least everything that was acknowledged before this moment. */
  readonly until: number
}

const FAULTS_MAX = 20

export function checkPrefix(question: PrefixQuestion): PrefixAnswer {
  return new Check(question).run()
}

class Check {
  readonly #history: History
  readonly #shown: readonly (readonly Shown[])[]
  readonly #faults: string[] = []
  /** Earliest moment at which each write of the prefix can have taken effect. */
  readonly #earliest = new Map<WriteRecord, number>()
  /** Writes of the prefix that came before, by the shown write that came after them. */
  readonly #before = new Map<WriteRecord, Set<WriteRecord>>()
  readonly #acknowledged: readonly WriteRecord[]
  #next = 0
  #until: number

  constructor({ history, shown, requiredUntil = -1 }: PrefixQuestion) {
    this.#history = history
    this.#shown = shown
    this.#until = requiredUntil
    this.#acknowledged = [...history.writes].filter((write) => write.acknowledged).sort((a, b) => a.endedAt - b.endedAt)
  }

  run(): PrefixAnswer {
    this.#shown.forEach((blocks, device) => blocks.forEach((_, block) => this.#lookAt(device, block)))
    if (this.#faults.length === 0) {
      for (let steady = false; !steady && this.#faults.length === 0;) steady = this.#settle()
    }
    if (this.#faults.length === 0) this.#findCircle()
    return { faults: this.#faults.slice(0, FAULTS_MAX), until: this.#until }
  }

  /** The write that a block shows, or null if it shows the base. */
  #writeAt(device: number, block: number): WriteRecord | null {
    const shown = this.#shown[device]?.[block]
    return shown?.kind === 'write' ? (this.#history.find(shown.writer, shown.sequence) ?? null) : null
  }

  #lookAt(device: number, block: number): void {
    const shown = this.#shown[device]?.[block] ?? { kind: 'bad', why: 'it is missing' }
    const where = `block ${block} of device ${device}`
    if (shown.kind === 'bad') {
      this.#fault(`${where}: ${shown.why}`)
      return
    }
    const write = this.#writeAt(device, block)
    if (write === null) {
      const base = this.#history.base[device]?.[block]
      if (JSON.stringify(base) !== JSON.stringify(shown))
        this.#fault(`${where} shows ${name(shown)}, older than the base`)
    } else if (write.device !== device || block < write.block || block >= write.block + write.count) {
      this.#fault(`${where} shows ${text(write)}, which never wrote there`)
    } else {
      this.#takeIn(write)
    }
  }

  /** The write is in the prefix. */
  #takeIn(write: WriteRecord): void {
    if (!this.#earliest.has(write)) this.#earliest.set(write, write.invokedAt)
  }

  /** One round over everything known. True if it changed nothing. */
  #settle(): boolean {
    let steady = true
    for (const [write, earliest] of this.#earliest) {
      if (earliest > this.#until && this.#isShown(write)) {
        this.#until = earliest
        steady = false
      }
    }
    for (; ; this.#next++) {
      const write = this.#acknowledged[this.#next]
      if (write === undefined || write.endedAt >= this.#until) break
      if (!this.#earliest.has(write)) {
        this.#takeIn(write)
        steady = false
      }
    }
    for (const write of [...this.#earliest.keys()]) {
      for (let block = write.block; block < write.block + write.count; block++) {
        if (!this.#coveredAt(write, block)) steady = false
      }
    }
    return steady
  }

  /** What follows from this block of a write of the prefix. False if that was news. */
  #coveredAt(write: WriteRecord, block: number): boolean {
    const over = this.#writeAt(write.device, block)
    const earliest = this.#earliest.get(write) ?? write.invokedAt
    if (over === write) return true
    const where = `block ${block} of device ${write.device}`
    if (over === null) {
      this.#fault(`${where} shows nothing of ${text(write)}, which ${this.#whyIn(write)}`)
      return true
    }
    const before = this.#before.get(over) ?? new Set()
    this.#before.set(over, before)
    const known = before.has(write)
    before.add(write)
    if ((this.#earliest.get(over) ?? over.invokedAt) >= earliest) return known
    this.#earliest.set(over, earliest)
    if (over.endedAt < earliest) {
      this.#fault(`${where} shows ${text(over)}, although the later ${text(write)} ${this.#whyIn(write)}`)
    }
    return false
  }

  #isShown(write: WriteRecord): boolean {
    for (let block = write.block; block < write.block + write.count; block++) {
      if (this.#writeAt(write.device, block) === write) return true
    }
    return false
  }

  #whyIn(write: WriteRecord): string {
    return this.#isShown(write) ? 'is shown elsewhere' : `was acknowledged before moment ${this.#until} of the prefix`
  }

  /** Writes that would each have to come after the other. */
  #findCircle(): void {
    const state = new Map<WriteRecord, 'open' | 'done'>()
    for (const start of this.#before.keys()) {
      const path: { write: WriteRecord; rest: WriteRecord[] }[] = []
      const enter = (write: WriteRecord): void => {
        if (state.get(write) === 'open') {
          this.#fault(`${text(write)} and ${text(path.at(-1)?.write ?? write)} are each shown over the other`)
        }
        if (state.has(write)) return
        state.set(write, 'open')
        path.push({ write, rest: [...(this.#before.get(write) ?? [])] })
      }
      enter(start)
      for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
        const next = top.rest.pop()
        if (next !== undefined) {
          enter(next)
        } else {
          state.set(top.write, 'done')
          path.pop()
        }
      }
    }
  }

  #fault(sentence: string): void {
    this.#faults.push(sentence)
  }
}

function name(shown: Shown): string {
  return shown.kind === 'write' ? `write ${shown.writer}/${shown.sequence}` : shown.kind
}

function text(write: WriteRecord): string {
  const last = write.block + write.count - 1
  const end = write.endedAt === Infinity ? 'open' : `${write.endedAt}${write.acknowledged ? '' : ', unanswered'}`
  return `write ${write.writer}/${write.sequence} (device ${write.device}, blocks ${write.block}-${last}, ${write.invokedAt}-${end})`
}
