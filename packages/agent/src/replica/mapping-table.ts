/**
 * Which device of the primary is which device here, at two places at once: where the stream is, and where the devices are.
 *
 * Owns the rows and their order, and keeps `replica.json` in step. Between the two places lie the `map` and `unmap` frames
 * that wait in the journal. A row is durable before its `map` frame is in the journal, and goes only when its `unmap` is
 * applied; so every frame of the journal finds its device after a restart. Invariant: of one device id at most one row is
 * attached, and rows of one id are attached in the order in which they came.
 *
 *   row     durable ------------------------------------------------> removed
 *   stream        map received ----------------> unmap received
 *   devices              map passed (attached) ----------> unmap passed (detached) -> applied
 */
import type { StreamDevice, Lsn } from '@sitelink/protocol'
import type { ReplicaFile } from './replica-file.js'
import type { ReplicaMapping } from './replica-state.js'

/** An unmap that is in the journal, or on its way there. */
export interface PendingUnmap {
  readonly mappingId: string
  readonly lsn: Lsn
}

/** See the head of this file. */
export class MappingTable {
  readonly #file: ReplicaFile
  #rows: ReplicaMapping[]
  #unmaps: PendingUnmap[]
  /** Ids of mappings whose `map` frame is in the journal and was not passed to the devices. */
  readonly #mapsAhead: Set<string>
  /** Of each device id that is attached, its row. */
  readonly #attached = new Map<number, ReplicaMapping>()
  /** What the stream may touch, by device id: asked for every frame. */
  readonly #stream = new Map<number, ReplicaMapping>()

  constructor(file: ReplicaFile, mapsAhead: ReadonlySet<string>, unmaps: readonly PendingUnmap[]) {
    this.#file = file
    this.#rows = [...file.current.mappings]
    this.#mapsAhead = new Set(mapsAhead)
    this.#unmaps = [...unmaps]
    this.#refresh()
  }

  /** Every row, also of mappings whose unmap waits. */
  get rows(): readonly ReplicaMapping[] {
    return this.#rows
  }

  /** Rows in force where the stream is. */
  get inForce(): readonly ReplicaMapping[] {
    return [...this.#stream.values()]
  }

  /** Rows that the stream has left behind: their unmap is received and waits to be applied. */
  get left(): readonly ReplicaMapping[] {
    return this.#rows.filter((row) => this.isUnmapping(row))
  }

  /** What the stream may touch of a device. */
  streamDevice(deviceId: number): StreamDevice | null {
    return this.#stream.get(deviceId) ?? null
  }

  /** The row in force where the stream is. */
  streamRow(deviceId: number): ReplicaMapping | null {
    return this.#stream.get(deviceId) ?? null
  }

  /** The row that frames which are being applied belong to. */
  appliedRow(deviceId: number): ReplicaMapping | null {
    return this.#rows.find((row) => row.deviceId === deviceId && !this.#mapsAhead.has(row.mappingId)) ?? null
  }

  /** The row of a mapping; null where its end was written down before. */
  row(mappingId: string): ReplicaMapping | null {
    return this.#rows.find((row) => row.mappingId === mappingId) ?? null
  }

  /** True if the stream has left the row behind: its unmap is received and waits to be applied. */
  isUnmapping({ deviceId, mappingId }: ReplicaMapping): boolean {
    return this.#stream.get(deviceId)?.mappingId !== mappingId
  }

  attachedRow(deviceId: number): ReplicaMapping | null {
    return this.#attached.get(deviceId) ?? null
  }

  /** The row that follows a mapping of a device id, if no `map` frame that is still to be passed brings it. */
  rowBehind(deviceId: number, mappingId: string): ReplicaMapping | null {
    const rows = this.#rows.filter((row) => row.deviceId === deviceId)
    const next = rows[rows.findIndex((row) => row.mappingId === mappingId) + 1]
    return next === undefined || this.#mapsAhead.has(next.mappingId) ? null : next
  }

  /** Rows that have to be attached before anything is applied. */
  toAttach(): readonly ReplicaMapping[] {
    const firsts = new Map<number, ReplicaMapping>()
    for (const row of this.#rows) if (!firsts.has(row.deviceId)) firsts.set(row.deviceId, row)
    return [...firsts.values()].filter(
      (row) => !this.#mapsAhead.has(row.mappingId) && !this.#attached.has(row.deviceId),
    )
  }

  /** A new row; durable on return. Its `map` frame goes into the journal after that. */
  async add(row: ReplicaMapping): Promise<void> {
    await this.#file.update((state) => ({ ...state, mappings: [...state.mappings, row] }))
    this.#rows.push(row)
    this.#refresh()
  }

  /** The `map` frame of the row goes into the journal now. */
  mapAppended(mappingId: string): void {
    this.#mapsAhead.add(mappingId)
  }

  /** The session ended before the `map` frame got into the journal: nothing waits for it. */
  mapDropped(mappingId: string): void {
    this.#mapsAhead.delete(mappingId)
  }

  /** An `unmap` frame comes: the stream may not touch the device any more. */
  unmapReceived(unmap: PendingUnmap): void {
    this.#unmaps.push(unmap)
    this.#refresh()
  }

  /** The `map` frame is passed to the devices. The row to attach, or null where that is done. */
  mapPassed(mappingId: string): ReplicaMapping | null {
    this.#mapsAhead.delete(mappingId)
    const row = this.#rows.find((one) => one.mappingId === mappingId)
    return row === undefined || this.#attached.has(row.deviceId) ? null : row
  }

  attached(row: ReplicaMapping): void {
    this.#attached.set(row.deviceId, row)
  }

  detached(deviceId: number): void {
    this.#attached.delete(deviceId)
  }

  /**
   * The mapping's unmap is applied: its row is not needed any more. At once, because what is applied behind the unmap
   * belongs to the row that follows; {@link forget} makes it durable. Null where a restart finds again what was done.
   */
  unmapApplied(mappingId: string): ReplicaMapping | null {
    this.#unmaps = this.#unmaps.filter((one) => one.mappingId !== mappingId)
    const row = this.row(mappingId)
    this.#rows = this.#rows.filter((one) => one !== row)
    this.#refresh()
    return row
  }

  /** A row that went is gone durably when the promise resolves. */
  async forget({ mappingId }: ReplicaMapping): Promise<void> {
    await this.#file.update((state) => ({
      ...state,
      mappings: state.mappings.filter((one) => one.mappingId !== mappingId),
    }))
  }

  /** The journal was cut behind `lsn`: what came later never was. Durable on return. Answers the rows that went. */
  async cut(lsn: Lsn): Promise<readonly ReplicaMapping[]> {
    this.#unmaps = this.#unmaps.filter((one) => one.lsn <= lsn)
    const gone = this.#rows.filter((row) => row.sinceLsn > lsn)
    this.#rows = this.#rows.filter((row) => row.sinceLsn <= lsn)
    for (const row of gone) this.#mapsAhead.delete(row.mappingId)
    this.#refresh()
    if (gone.length > 0)
      await this.#file.update((state) => ({ ...state, mappings: state.mappings.filter((row) => row.sinceLsn <= lsn) }))
    return gone
  }

  /** The session is over: an unmap that is not in the journal was never received. */
  dropUnmap(unmap: PendingUnmap): void {
    this.#unmaps = this.#unmaps.filter((one) => one !== unmap)
    this.#refresh()
  }

  #refresh(): void {
    this.#stream.clear()
    const gone = new Set(this.#unmaps.map(({ mappingId }) => mappingId))
    for (const row of this.#rows) if (!gone.has(row.mappingId)) this.#stream.set(row.deviceId, row)
  }
}
