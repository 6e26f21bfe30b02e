/**
 * The states in which the death of a host may leave its disks, after each event of a recorded trace.
 *
 * Owns the replay: what of each file is durable, and for each 512-byte sector the contents that it may have after a power
 * cut, oldest first. That is the whole space: a sector ends with one of its contents, whatever its neighbours do. A step
 * that made something durable (a sync, a name) can be left out, as if the program had never asked for it. Knows nothing
 * of what the files mean. Two states with one fingerprint hold the same bytes.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  FAULT_SECTOR_BYTES,
  FaultDiskProvider,
  Prng,
  SparseBytes,
  type Change,
  type HostEvent,
  type HostFile,
  type HostTrace,
} from '@sitelink/storage/testing'

/** A content that a sector had, or had never: `order` 0 is the one that is durable. */
export interface Version {
  /** Counts the sectors that were written since the trace began, 1 is the first. */
  readonly order: number
  /** Index of the event that wrote it. */
  readonly event: number
  readonly sequence: number
  readonly bytes: Buffer
  readonly print: Print
}

/** A place that may hold one of several contents after a power cut: a sector, or a name whose change was left out. */
export interface Slot {
  readonly file: string
  readonly sector: number
  /** Oldest first, at least two; neighbours differ. */
  readonly versions: readonly Version[]
}

/** For each slot the index of the version that is found. */
export type Choice = readonly number[]

/** 64 bits that tell contents apart; those of a host are the exclusive or of those of its parts. */
export interface Print {
  readonly high: number
  readonly low: number
}

interface FileState {
  readonly file: HostFile
  readonly isVaried: boolean
  sizeBytes: number
  /** What reads saw. */
  readonly cache: SparseBytes
  readonly durable: SparseBytes
  /** By sector; the first version is the durable one. */
  readonly slots: Map<number, Version[]>
}

const NONE: Print = { high: 0, low: 0 }

export class HostStates {
  readonly #trace: HostTrace
  readonly #without: number
  readonly #isVaried: (path: string) => boolean
  readonly #files = new Map<string, FileState>()
  readonly #names = new Map<string, string>()
  /** What a name led to before a change of it that was left out. */
  #oldName: { readonly path: string; readonly file: string | null; readonly event: number } | null = null
  #durablePrint: Print = NONE
  #order = 0
  #count = 0

  /**
   * `without`: index of the event that did not make anything durable; -1 for none. `isVaried`: false for files of which
   * nothing is ever lost.
   */
  constructor(trace: HostTrace, without = -1, isVaried: (path: string) => boolean = () => true) {
    this.#trace = trace
    this.#without = without
    this.#isVaried = isVaried
    for (const [path, file] of trace.start) {
      if (!this.#files.has(file.id)) this.#take(path, file)
      this.#names.set(path, file.id)
    }
    while (this.#count < trace.givenCount) this.step()
  }

  /** Events that have happened. */
  get count(): number {
    return this.#count
  }

  get isOver(): boolean {
    return this.#count === this.#trace.events.length
  }

  /** Lets the next event happen, and answers it. */
  step(): HostEvent {
    const index = this.#count
    const event = this.#trace.events[index]
    assert(event !== undefined, 'the trace has one more event')
    this.#count++
    switch (event.kind) {
      case 'change':
        this.#change(event.file, event.change, index)
        break
      case 'synced':
        if (index !== this.#without) this.#synced(event.file, event.sequence)
        break
      case 'resized':
        this.#resized(event.file, event.sizeBytes)
        break
      case 'named':
      case 'removed':
        this.#named(event.path, event.kind === 'named' ? event.file : null, index)
        break
      case 'mark':
    }
    return event
  }

  /** The places that a power cut now may leave in more than one way, in the order of their first unsynced write. */
  slots(): Slot[] {
    const slots: Slot[] = []
    for (const id of this.#reachable()) {
      for (const [sector, versions] of (this.#files.get(id) as FileState).slots)
        if (versions.length > 1) slots.push({ file: id, sector, versions })
    }
    slots.sort((a, b) => (a.versions[1] as Version).order - (b.versions[1] as Version).order)
    const old = this.#oldName
    if (old === null) return slots
    const version = (order: number, name: string): Version => ({
      order,
      event: old.event,
      sequence: 0,
      bytes: Buffer.alloc(0),
      print: printOf(`name ${old.path}`, 0, Buffer.from(name)),
    })
    return [{ file: '', sector: 0, versions: [version(0, 'old'), version(1, 'new')] }, ...slots]
  }

  /** What tells the disks of this choice from those of any other, at any moment of the trace. */
  print(slots: readonly Slot[], choice: Choice): string {
    let { high, low } = this.#durablePrint
    slots.forEach(({ file, versions }, at) => {
      // A sector is durable as it was first, a name as it is now.
      const from = versions[file === '' ? 1 : 0] as Version
      const to = versions[choice[at] as number] as Version
      high ^= from.print.high ^ to.print.high
      low ^= from.print.low ^ to.print.low
    })
    return `${high >>> 0}:${low >>> 0}`
  }

  /** The disks of a host as its next process finds them after a power cut with this choice. */
  afterPowerCut(slots: readonly Slot[], choice: Choice, host = ''): FaultDiskProvider {
    const contents = new Map<string, SparseBytes>()
    const names = new Map(this.#names)
    const contentOf = (id: string): SparseBytes => {
      const content = contents.get(id) ?? (this.#files.get(id) as FileState).durable.clone()
      contents.set(id, content)
      return content
    }
    slots.forEach(({ file, sector, versions }, at) => {
      const chosen = choice[at] as number
      if (file !== '') contentOf(file).write((versions[chosen] as Version).bytes, sector * FAULT_SECTOR_BYTES)
      else if (chosen === 0) this.#rename(names)
    })
    const disks = new FaultDiskProvider({ prng: new Prng(1) })
    for (const [path, id] of names) {
      if (!path.startsWith(host)) continue
      const { file, sizeBytes } = this.#files.get(id) as FileState
      disks.put(path.slice(host.length), { ...file, sizeBytes, content: contentOf(id) })
    }
    return disks
  }

  /** The same after a kill: everything is visible, what was unsynced still is. */
  afterKill(host = ''): FaultDiskProvider {
    const disks = this.afterPowerCut([], [], host)
    for (const [path, id] of this.#names) {
      if (!path.startsWith(host)) continue
      const medium = disks.medium(path.slice(host.length))
      const versions = [...(this.#files.get(id) as FileState).slots]
        .flatMap(([sector, list]) => list.slice(1).map((version) => ({ sector, ...version })))
        .sort((a, b) => a.order - b.order)
      for (const { sector, bytes } of versions) medium.apply(sector * FAULT_SECTOR_BYTES, bytes.length, bytes)
    }
    return disks
  }

  // ----- inside -----

  #reachable(): Set<string> {
    const ids = new Set(this.#names.values())
    const old = this.#oldName?.file ?? null
    if (old !== null) ids.add(old)
    return ids
  }

  #rename(names: Map<string, string>): void {
    const old = this.#oldName
    assert(old !== null, 'a name has an older meaning')
    if (old.file === null) names.delete(old.path)
    else names.set(old.path, old.file)
  }

  #take(path: string, file: HostFile): FileState {
    const state: FileState = {
      file,
      isVaried: this.#isVaried(path),
      sizeBytes: file.sizeBytes,
      cache: file.content.clone(),
      durable: file.content.clone(),
      slots: new Map(),
    }
    this.#files.set(file.id, state)
    return state
  }

  #change(id: string, change: Change, event: number): void {
    const state = this.#files.get(id)
    if (state === undefined) return
    const { offset, length, bytes, sequence } = change
    // Where a large range becomes zeros, only what held or may hold something changes.
    const pieces =
      bytes === null && length > FAULT_SECTOR_BYTES
        ? [...new Set([...state.cache.chunksIn(offset, length), ...state.durable.chunksIn(offset, length)])]
            .sort((a, b) => a - b)
            .map((start) => [Math.max(start, offset), Math.min(offset + length, start + 65_536)] as const)
        : [[offset, offset + length] as const]
    if (bytes === null) state.cache.zero(offset, length)
    else state.cache.write(bytes, offset)
    if (!state.isVaried) {
      if (bytes === null) state.durable.zero(offset, length)
      else state.durable.write(bytes, offset)
      return
    }
    for (const [from, to] of pieces) {
      for (let sector = Math.floor(from / FAULT_SECTOR_BYTES); sector * FAULT_SECTOR_BYTES < to; sector++)
        this.#version(state, sector, sequence, event)
    }
  }

  #version(state: FileState, sector: number, sequence: number, event: number): void {
    const at = sector * FAULT_SECTOR_BYTES
    const found = readSector(state.cache, at)
    const { id } = state.file
    let versions = state.slots.get(sector)
    if (versions === undefined) {
      const durable = readSector(state.durable, at)
      const print = printOf(id, sector, durable)
      versions = [{ order: 0, event: -1, sequence: 0, bytes: durable, print }]
    }
    const newest = versions.at(-1) as Version
    // Written again as it was: nothing that could be lost.
    if (newest.bytes.equals(found)) return
    versions.push({ order: ++this.#order, event, sequence, bytes: found, print: printOf(id, sector, found) })
    state.slots.set(sector, versions)
  }

  #synced(id: string, sequence: number): void {
    const state = this.#files.get(id)
    if (state === undefined) return
    for (const [sector, versions] of state.slots) {
      const covered = versions.findLastIndex((version) => version.sequence <= sequence)
      if (covered === 0) continue
      const now = versions[covered] as Version
      state.durable.write(now.bytes, sector * FAULT_SECTOR_BYTES)
      this.#changePrint((versions[0] as Version).print, now.print)
      versions.splice(0, covered + 1, { ...now, order: 0, sequence: 0 })
      if (versions.length === 1) state.slots.delete(sector)
    }
  }

  #resized(id: string, sizeBytes: number): void {
    const state = this.#files.get(id)
    if (state === undefined) return
    if (sizeBytes < state.sizeBytes) this.#cut(state, sizeBytes)
    const size = (bytes: number): Print => printOf(`size ${id}`, bytes, Buffer.alloc(0))
    this.#changePrint(size(state.sizeBytes), size(sizeBytes))
    state.sizeBytes = sizeBytes
  }

  /** What lies behind the new end is gone at once, in every state that may be found. */
  #cut(state: FileState, sizeBytes: number): void {
    assert(sizeBytes % FAULT_SECTOR_BYTES === 0, 'a file of a trace ends on a sector')
    for (const start of state.durable.chunksIn(sizeBytes, state.sizeBytes - sizeBytes)) {
      const end = Math.min(state.sizeBytes, start + 65_536)
      for (let at = Math.max(start, sizeBytes); at < end; at += FAULT_SECTOR_BYTES) {
        const print = (bytes: Buffer): Print => printOf(state.file.id, at / FAULT_SECTOR_BYTES, bytes)
        this.#changePrint(print(readSector(state.durable, at)), print(Buffer.alloc(FAULT_SECTOR_BYTES)))
      }
    }
    state.cache.truncate(sizeBytes)
    state.durable.truncate(sizeBytes)
    for (const sector of state.slots.keys()) if (sector * FAULT_SECTOR_BYTES >= sizeBytes) state.slots.delete(sector)
  }

  #named(path: string, file: HostFile | null, event: number): void {
    const before = this.#names.get(path) ?? null
    const name = (id: string): Print => printOf(`path ${path}`, 0, Buffer.from(id))
    this.#changePrint(name(before ?? ''), name(file?.id ?? ''))
    if (file === null) this.#names.delete(path)
    else {
      this.#take(path, file)
      this.#names.set(path, file.id)
    }
    // Changing a name makes every earlier change in its folder durable too; all state lies in one folder.
    this.#oldName = event === this.#without ? { path, file: before, event } : null
  }

  #changePrint(from: Print, to: Print): void {
    const { high, low } = this.#durablePrint
    this.#durablePrint = { high: high ^ from.high ^ to.high, low: low ^ from.low ^ to.low }
  }
}

function readSector(content: SparseBytes, at: number): Buffer {
  const bytes = Buffer.alloc(FAULT_SECTOR_BYTES)
  content.read(bytes, at)
  return bytes
}

function printOf(file: string, sector: number, bytes: Buffer): Print {
  const digest = createHash('sha1').update(`${file}:${sector}:`).update(bytes).digest()
  return { high: digest.readUInt32LE(0), low: digest.readUInt32LE(4) }
}
