/**
 * What lies between the applied position and the end of the journal: read once at start, before anything is applied.
 *
 * Changes nothing. Reads in bounded steps and keeps only what later frames say about earlier ones: where the journal
 * ends, what the primary had told, which regions were made dirty, which mappings come and go. It stops at a hole, because
 * nothing behind it may be applied.
 */
import {
  isCopy,
  isEntry,
  decodeMapPayload,
  decodeResyncBeginPayload,
  decodeUnmapPayload,
  FrameType,
  maxPoint,
  type Frame,
  type LogPoint,
  type Lsn,
} from '@sitelink/protocol'
import type { LogCursor } from '@sitelink/storage'
import { isVoidCopy, type VoidCopies } from '../apply/apply-limit.js'
import type { DirtyAgain } from '../apply/region-copies.js'
import type { PendingUnmap } from '../replica/mapping-table.js'
import { markBehind, type Mark } from './marks.js'

export interface JournalScan {
  /** Last frame. */
  readonly end: Mark
  /** Largest stamp of a copy; its incarnation is the one given. */
  readonly stampLsn: Lsn
  /** Highest point that the frames themselves say the primary has durably. */
  readonly told: LogPoint
  readonly dirtied: readonly DirtyAgain[]
  /** Ids of mappings whose `map` frame is still to be applied. */
  readonly mapIds: ReadonlySet<string>
  /** Every `unmap` that is still to be applied, in order. */
  readonly unmaps: readonly PendingUnmap[]
  readonly frames: number
  /** Why the journal cannot be applied to its end; null if it can. */
  readonly hole: string | null
}

/** Reads from the cursor to the end of what is in the file, about `readBytes` at a time. `from` is what lies before. */
export async function scanJournal(
  cursor: LogCursor,
  from: Mark,
  voids: readonly VoidCopies[],
  readBytes: number,
): Promise<JournalScan> {
  const found = new Findings(from, voids)
  try {
    for (let read = await cursor.next(readBytes); read !== null; read = await cursor.next(readBytes)) {
      for (const entry of read) {
        if (!('frame' in entry))
          return found.result(`entries ${entry.firstLsn} to ${entry.lastLsn} of the journal cannot be read`)
        found.take(entry.frame, entry.position, entry.end)
      }
    }
  } finally {
    cursor.close()
  }
  return found.result(null)
}

class Findings {
  #end: Mark
  #stampLsn: Lsn = 0
  #told: LogPoint = { incarnation: 0, lsn: 0 }
  #frames = 0
  readonly #dirtied: DirtyAgain[] = []
  readonly #mapIds = new Set<string>()
  readonly #unmaps: PendingUnmap[] = []

  constructor(
    from: Mark,
    readonly voids: readonly VoidCopies[],
  ) {
    this.#end = { ...from, frames: 0 }
  }

  take(frame: Frame, position: number, end: number): void {
    this.#frames++
    this.#end = markBehind(this.#end, frame, end, 0)
    // Only an entry's durable LSN is of the entry's own incarnation.
    if (isEntry(frame.type))
      this.#told = maxPoint(this.#told, { incarnation: frame.incarnation, lsn: frame.durableLsn })
    if (isCopy(frame.type) && !isVoidCopy(frame, position, this.voids))
      this.#stampLsn = Math.max(this.#stampLsn, frame.aux)
    if (frame.type === FrameType.unmap) {
      const payload = decodeUnmapPayload(frame.payload)
      if (payload.ok) this.#unmaps.push({ ...payload.value, lsn: frame.lsn })
    }
    if (frame.type === FrameType.map) {
      const payload = decodeMapPayload(frame.payload)
      if (payload.ok) this.#mapIds.add(payload.value.mappingId)
    }
    if (frame.type === FrameType.resyncBegin) {
      const payload = decodeResyncBeginPayload(frame.payload)
      if (payload.ok) this.#dirtied.push({ deviceId: frame.deviceId, place: { position }, ...payload.value })
    }
  }

  result(hole: string | null): JournalScan {
    return {
      end: this.#end,
      stampLsn: this.#stampLsn,
      told: this.#told,
      dirtied: this.#dirtied,
      mapIds: this.#mapIds,
      unmaps: this.#unmaps,
      frames: this.#frames,
      hole,
    }
  }
}
