/**
 * Everything that reached the disks of several hosts, in one order: when each write, sync and change of a name began and
 * when it ended, and marks that say what somebody was promised at that moment.
 *
 * Owns the order and the bytes; they are copies, taken when an operation began. It never looks at what a disk holds.
 * Invariant: an operation ends here before whoever asked for it can know that it ended, so that a sync which begins
 * afterwards covers it here as well.
 */
import assert from 'node:assert/strict'
import type { Disk, DiskExtent, DiskProvider, OpenOptions } from '@sitelink/storage'

/** What changes a disk or a name, or makes a change durable. */
export type Operation =
  /** `bytes` null: the range became zeros. */
  | {
      readonly kind: 'change'
      readonly path: string
      readonly offset: number
      readonly length: number
      readonly bytes: Buffer | null
    }
  | { readonly kind: 'sync'; readonly path: string }
  | { readonly kind: 'resize'; readonly path: string; readonly sizeBytes: number }
  | { readonly kind: 'create'; readonly path: string; readonly sizeBytes: number }
  | { readonly kind: 'replace'; readonly path: string; readonly bytes: Buffer }
  | { readonly kind: 'remove'; readonly path: string }

/** What was promised from this moment on, in the words of whoever set the mark. */
export interface Mark {
  readonly label: string
  readonly value: number
  /** The last entry that had been appended by then. */
  readonly lsn: number
}

export type TraceEvent =
  | { readonly kind: 'begin'; readonly host: string; readonly id: number; readonly operation: Operation }
  | { readonly kind: 'end'; readonly host: string; readonly id: number; readonly operation: Operation }
  | ({ readonly kind: 'mark' } & Mark)

export class Trace {
  readonly events: TraceEvent[] = []
  #recording = false
  #nextId = 1
  #underWay = 0
  readonly #quiet: (() => void)[] = []

  /** Records from the first moment on at which nothing is under way; `now` runs in that moment. */
  start(now: () => void): Promise<void> {
    assert(!this.#recording, 'a trace starts once')
    return new Promise((resolve) => {
      const begin = (): void => {
        this.#recording = true
        now()
        resolve()
      }
      if (this.#underWay === 0) begin()
      else this.#quiet.push(begin)
    })
  }

  mark(mark: Mark): void {
    if (this.#recording) this.events.push({ kind: 'mark', ...mark })
  }

  /** All marks, each with the number of events before it. */
  *marks(): Generator<Mark & { readonly at: number }> {
    for (const [at, event] of this.events.entries()) if (event.kind === 'mark') yield { ...event, at }
  }

  /** The number of events up to the first mark with this label. */
  first(label: string): number {
    for (const mark of this.marks()) if (mark.label === label) return mark.at + 1
    throw new Error(`nothing was marked ${label}`)
  }

  /** Does the work of an operation and records when it began and ended. One that fails has begun and never ends. */
  async record(host: string, operation: Operation, work: () => Promise<void>): Promise<void> {
    const id = this.#nextId++
    this.#underWay++
    if (this.#recording) this.events.push({ kind: 'begin', host, id, operation })
    try {
      await work()
      if (this.#recording) this.events.push({ kind: 'end', host, id, operation })
    } finally {
      this.#underWay--
      if (this.#underWay === 0) for (const action of this.#quiet.splice(0)) action()
    }
  }
}

/** The disks of one host, as they are, with a trace of what is done to them. */
export class RecordedDisks implements DiskProvider {
  readonly #open = new Map<string, number>()

  constructor(
    readonly inner: DiskProvider,
    readonly host: string,
    readonly trace: Trace,
  ) {}

  async open(path: string, options?: OpenOptions): Promise<Disk> {
    return this.#recorded(path, await this.inner.open(path, options))
  }

  async create(
    path: string,
    sizeBytes: number,
    options?: OpenOptions & { readonly preallocate?: boolean; readonly progress?: (bytes: number) => void },
  ): Promise<Disk> {
    let disk: Disk | null = null
    await this.trace.record(this.host, { kind: 'create', path, sizeBytes }, async () => {
      disk = await this.inner.create(path, sizeBytes, options)
    })
    return this.#recorded(path, disk as unknown as Disk)
  }

  exists(path: string): Promise<'file' | 'block-device' | null> {
    return this.inner.exists(path)
  }

  identify(path: string): Promise<string> {
    return this.inner.identify(path)
  }

  readFile(path: string): Promise<Buffer | null> {
    return this.inner.readFile(path)
  }

  replaceFile(path: string, content: Buffer): Promise<void> {
    this.#refuseOpen(path)
    const bytes = Buffer.from(content)
    return this.trace.record(this.host, { kind: 'replace', path, bytes }, () => this.inner.replaceFile(path, content))
  }

  removeFile(path: string): Promise<void> {
    this.#refuseOpen(path)
    return this.trace.record(this.host, { kind: 'remove', path }, () => this.inner.removeFile(path))
  }

  #recorded(path: string, disk: Disk): Disk {
    this.#open.set(path, (this.#open.get(path) ?? 0) + 1)
    return new RecordedDisk(disk, this, path, () => this.#open.set(path, (this.#open.get(path) ?? 0) - 1))
  }

  /** The trace goes by paths: a handle on what a path no longer leads to would be recorded as something else. */
  #refuseOpen(path: string): void {
    assert((this.#open.get(path) ?? 0) === 0, `${path} is open while its name changes`)
  }
}

class RecordedDisk implements Disk {
  readonly #inner: Disk
  readonly #disks: RecordedDisks
  readonly #path: string
  readonly #closed: () => void

  constructor(inner: Disk, disks: RecordedDisks, path: string, closed: () => void) {
    this.#inner = inner
    this.#disks = disks
    this.#path = path
    this.#closed = closed
  }

  get description(): string {
    return this.#inner.description
  }

  get sizeBytes(): number {
    return this.#inner.sizeBytes
  }

  get canDiscard(): boolean {
    return this.#inner.canDiscard
  }

  get sectorBytes(): number {
    return this.#inner.sectorBytes
  }

  read(into: Buffer, offset: number): Promise<void> {
    return this.#inner.read(into, offset)
  }

  write(chunks: readonly Buffer[], offset: number): Promise<void> {
    const bytes = Buffer.concat(chunks)
    return this.#change(offset, bytes.length, bytes, () => this.#inner.write(chunks, offset))
  }

  sync(): Promise<void> {
    return this.#record({ kind: 'sync', path: this.#path }, () => this.#inner.sync())
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#change(offset, length, null, () => this.#inner.discard(offset, length))
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#change(offset, length, null, () => this.#inner.writeZeroes(offset, length))
  }

  extents(offset: number, length: number): Promise<readonly DiskExtent[] | null> {
    return this.#inner.extents(offset, length)
  }

  resize(sizeBytes: number): Promise<void> {
    return this.#record({ kind: 'resize', path: this.#path, sizeBytes }, () => this.#inner.resize(sizeBytes))
  }

  measure(): Promise<void> {
    return this.#inner.measure()
  }

  async close(): Promise<void> {
    await this.#inner.close()
    this.#closed()
  }

  #change(offset: number, length: number, bytes: Buffer | null, work: () => Promise<void>): Promise<void> {
    return this.#record({ kind: 'change', path: this.#path, offset, length, bytes }, work)
  }

  #record(operation: Operation, work: () => Promise<void>): Promise<void> {
    return this.#disks.trace.record(this.#disks.host, operation, work)
  }
}
