/**
 * From what lies on the disks to a line that runs: after a start, a crash, or in the middle of starting over.
 *
 * Owns the order of opening. Nothing is applied before everything that could forbid it has been read. Starting over is
 * written down first and begun again at every opening until it is done, so that a crash anywhere comes to the same end:
 *
 *   marker durable -> every region dirty, durably -> journal anew -> marker gone, new ring named, durably
 */
import { maxPoint, type Clock, type Random } from '@sitelink/protocol'
import type { DiskProvider, OpenedLog } from '@sitelink/storage'
import type { DeviceSet } from '../device/device-set.js'
import type { AgentEventSink } from '../events.js'
import { Journal, type JournalListener } from '../journal/journal.js'
import { openJournal, recreateJournal, type JournalFileOptions } from '../journal/journal-file.js'
import { scanJournal } from '../journal/journal-scan.js'
import { decodeOwnerState, OWNER_STATE_FIRST, type OwnerState } from '../journal/owner-state.js'
import type { AgentLimits } from '../limits.js'
import { DirtyBook } from './dirty-book.js'
import { dirtyFiles } from './dirty-files.js'
import { Line, type LineListener } from './line.js'
import { MappingTable } from './mapping-table.js'
import type { ReplicaFile } from './replica-file.js'
import { randomId, type ReplicaState } from './replica-state.js'
import { stampPoint } from './stamp-point.js'

export interface OpenLineOptions {
  readonly disks: DiskProvider
  readonly clock: Clock
  readonly random: Random
  readonly limits: AgentLimits
  readonly stateDir: string
  readonly journalPath: string
  readonly journalBytes: number
  readonly file: ReplicaFile
  readonly devices: DeviceSet
  readonly journalListener: JournalListener
  readonly lineListener: LineListener
  readonly event: AgentEventSink
}

export interface OpenedLine {
  readonly line: Line
  /** Why the journal cannot be applied to its end; null if it can. */
  readonly hole: string | null
}

/** Opens the line, or finishes what an earlier start-over began. Rejects with a coded error and changes nothing then. */
export async function openLine(options: OpenLineOptions): Promise<OpenedLine> {
  const { file } = options
  if (file.current.restarting !== null || file.current.ringId === null)
    return { line: await startOver(options), hole: null }
  const { ringId } = file.current
  const { journal, opened } = await openExisting(options, ringId)
  const dirty = newBook(options, () => file.current)
  try {
    await openDirty(options, dirty)
    const scan = await scanJournal(
      opened.log.cursor(journal.applied.end),
      journal.applied,
      journal.voids,
      options.limits.applyReadBytes,
    )
    const holes = opened.report.holes.length
    const hole =
      scan.hole ?? (holes > 0 ? `${holes} ${holes === 1 ? 'place' : 'places'} of the journal cannot be read` : null)
    const stamp =
      scan.stampLsn === 0
        ? journal.stamp
        : maxPoint(journal.stamp, stampPoint(file.current.incarnations, scan.stampLsn))
    journal.begin(opened.log, { end: scan.end, stamp, told: scan.told })
    const table = new MappingTable(file, scan.mapIds, scan.unmaps)
    const { clock, limits, devices, lineListener } = options
    return {
      line: new Line({
        clock,
        limits,
        journal,
        table,
        dirty,
        devices,
        dirtied: scan.dirtied,
        incarnations: () => file.current.incarnations,
        hole,
        listener: lineListener,
      }),
      hole,
    }
  } catch (error) {
    await dirty.close()
    await opened.log.close().catch(() => {})
    throw error
  }
}

/** Carries out what the marker in replica.json says. May be repeated after any failure. */
export async function startOver(options: OpenLineOptions): Promise<Line> {
  const { file, random, limits, clock, devices, lineListener } = options
  const marker = file.current.restarting
  const ringId = randomId(random)
  const journal = newJournal(options, { ...OWNER_STATE_FIRST, ringId })
  // The dirty logs are bound to the log that comes next; whatever else they were bound to, all is dirty.
  const logId = marker?.logId ?? null
  const dirty = newBook(options, () => ({ ...file.current, logId }))
  const mappings = lastOfEachDevice(file)
  let opened: OpenedLog | null = null
  try {
    for (const mapping of mappings) await dirty.open(mapping)
    await dirty.markAll()
    opened = await recreateJournal({ ...journalFile(options), sizeBytes: options.journalBytes }, journal.ringListener)
    await file.update((state) => ({
      ...state,
      ringId,
      logId,
      incarnations: [],
      mappings,
      restarting: null,
      allDirty: null,
    }))
  } catch (error) {
    await dirty.close()
    await opened?.log.close().catch(() => {})
    throw error
  }
  journal.begin(opened.log, { end: journal.received, stamp: journal.stamp, told: journal.told })
  const table = new MappingTable(file, new Set(), [])
  return new Line({
    clock,
    limits,
    journal,
    table,
    dirty,
    devices,
    dirtied: [],
    incarnations: () => file.current.incarnations,
    hole: null,
    listener: lineListener,
  })
}

/** Of a device id that stands twice, an unmap of the older row was in the journal that is given up. */
function lastOfEachDevice({ current }: ReplicaFile): typeof current.mappings {
  const last = new Map(current.mappings.map((row) => [row.deviceId, row]))
  return current.mappings.filter((row) => last.get(row.deviceId) === row)
}

async function openExisting(
  options: OpenLineOptions,
  ringId: string,
): Promise<{ readonly journal: Journal; readonly opened: OpenedLog }> {
  // The journal's owner state is known only once it is open, and its listener before: they meet here.
  let journal: Journal | null = null
  let found: OwnerState | null = null
  const early: Journal['ringListener'] = {
    written: (entries) => journal?.ringListener.written(entries),
    durable: (position, lsn) => journal?.ringListener.durable(position, lsn),
    spaceFreed: () => journal?.ringListener.spaceFreed(),
    failed: (error) => journal?.ringListener.failed(error),
    ownerState: () => (journal as Journal).ringListener.ownerState(),
  }
  const opened = await openJournal(journalFile(options), ringId, early)
  found = decodeOwnerState(opened.log.ownerStateFound)
  journal = newJournal(options, found ?? { ...OWNER_STATE_FIRST, ringId })
  return { journal, opened }
}

async function openDirty({ file, event, devices }: OpenLineOptions, dirty: DirtyBook): Promise<void> {
  for (const mapping of file.current.mappings) {
    const { remote, mappingId, path } = mapping
    const facts = { device: remote, mapping: mappingId }
    const problem = await dirty.open(mapping)
    if (problem !== null) {
      const message = `the dirty log of ${remote} cannot be trusted, what it does not tell is dirty: ${problem}`
      event({ level: 'error', kind: 'dirty-log-lost', message, facts })
    }
    const now = devices.path(remote)
    if (now === null || now === path) continue
    await dirty.markMapping(mappingId)
    await file.update((state) => ({
      ...state,
      mappings: state.mappings.map((row) => (row.mappingId === mappingId ? { ...row, path: now } : row)),
    }))
    event({
      level: 'warn',
      kind: 'device-changed',
      message: `${remote} was ${path} and is ${now} now: every region of it is dirty`,
      facts,
    })
  }
}

function newJournal({ clock, limits, journalListener }: OpenLineOptions, owner: OwnerState): Journal {
  return new Journal({ clock, listener: journalListener, toldMsMin: limits.toldMsMin }, owner)
}

function newBook(
  { clock, limits, lineListener, stateDir, disks }: OpenLineOptions,
  replica: () => ReplicaState,
): DirtyBook {
  return new DirtyBook({
    logs: dirtyFiles(stateDir, disks, replica),
    clock,
    cleanMsMax: limits.cleanMsMax,
    changed: () => lineListener.changed(),
    failed: (error) => lineListener.failed('the dirty log could not be written', error),
  })
}

function journalFile({ disks, clock, random, journalPath, stateDir, limits }: OpenLineOptions): JournalFileOptions {
  return { disks, clock, random, path: journalPath, stateDir, recentBytesMax: limits.recentBytesMax }
}
