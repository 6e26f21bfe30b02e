/**
 * The file of the journal: made, opened, and made anew.
 *
 * Owns what may happen to what is there. A journal is created only where nothing is, or where the agent knows durably that
 * what is there is given up; it is opened only if it is the very one that the state directory names. Whatever is refused
 * is left as it was, byte by byte.
 */
import type { Clock, Random } from '@sitelink/protocol'
import {
  DiskError,
  LogError,
  openRingLog,
  type Disk,
  type DiskProvider,
  type OpenedLog,
  type RingLogListener,
} from '@sitelink/storage'
import { agentErrors, reason } from '../errors.js'
import { decodeOwnerState } from './owner-state.js'
import { RECENT_ENTRIES_MAX } from '../limits.js'

export interface JournalFileOptions {
  readonly disks: DiskProvider
  readonly clock: Clock
  readonly random: Random
  readonly path: string
  /** For messages: where `--state` points. */
  readonly stateDir: string
  /** As {@link AgentLimits.recentBytesMax}. */
  readonly recentBytesMax: number
}

/** Creates the journal of a new agent: over nothing, over zeros, or over a journal that holds no entries. */
export async function createJournal(
  options: JournalFileOptions & {
    readonly sizeBytes: number
    readonly sparse: boolean
    readonly progress?: (done: number, total: number) => void
  },
  listener: RingLogListener,
): Promise<OpenedLog> {
  const { disks, path, sizeBytes, sparse, progress } = options
  const { disk, there, size } = await place(disks, path, sizeBytes)
  try {
    return await openRingLog({
      ...ring(options, disk, listener),
      mode: 'create',
      sizeBytes: size,
      sparse,
      ...(progress === undefined ? {} : { progress }),
    })
  } catch (error) {
    await disk.close()
    // A file that was made here and holds nothing is taken away again; what was there stays.
    if (there === null) await disks.removeFile(path).catch(() => {})
    if (error instanceof LogError)
      throw agentErrors.create('AGENT_JOURNAL_TAKEN', { path, why: error.message }, { cause: error })
    throw error
  }
}

/** Where a journal is to be made: the file, made if it is missing, or the block device; and how much of it is used. */
async function place(
  disks: DiskProvider,
  path: string,
  sizeBytes: number,
): Promise<{ readonly disk: Disk; readonly there: 'file' | 'block-device' | null; readonly size: number }> {
  const there = await disks.exists(path)
  const disk =
    there === null
      ? await disks.create(path, sizeBytes, { exclusive: true })
      : await disks.open(path, { exclusive: true })
  return { disk, there, size: there === 'block-device' ? Math.min(sizeBytes, disk.sizeBytes) : disk.sizeBytes }
}

/** Opens the journal `ringId`. Throws `AGENT_JOURNAL_MISSING`, `AGENT_JOURNAL_FOREIGN` or `AGENT_JOURNAL_DAMAGED`. */
export async function openJournal(
  options: JournalFileOptions,
  ringId: string,
  listener: RingLogListener,
): Promise<OpenedLog> {
  const { disks, path, stateDir: state } = options
  const disk = await disks.open(path, { exclusive: true }).catch((error: unknown) => {
    if (!(error instanceof DiskError) || error.code !== 'DISK_MISSING') throw error
    throw agentErrors.create('AGENT_JOURNAL_MISSING', { path, state }, { cause: error })
  })
  const foreign = (why: string, cause?: unknown): Error =>
    agentErrors.create('AGENT_JOURNAL_FOREIGN', { path, why, state }, { cause })
  try {
    return await openRingLog({
      ...ring(options, disk, listener),
      mode: 'open',
      payloadCheckFrom: (owner) => decodeOwnerState(owner)?.appliedPosition ?? null,
      // Called before anything is written: a journal of somebody else stays as it is.
      reviseOwnerState: (owner) => {
        const found = decodeOwnerState(owner)
        if (found === null) throw foreign('it was written by another program or release')
        if (found.ringId !== ringId) throw foreign(`it is the ring ${found.ringId}, not ${ringId}`)
        return owner
      },
    })
  } catch (error) {
    await disk.close().catch(() => {})
    if (!(error instanceof LogError)) throw error
    if (FOREIGN.has(error.code)) throw foreign(error.message, error)
    throw agentErrors.create('AGENT_JOURNAL_DAMAGED', { path, why: reason(error), state }, { cause: error })
  }
}

const FOREIGN: ReadonlySet<string> = new Set(['LOG_MISSING', 'LOG_FOREIGN', 'LOG_OTHER_KIND', 'LOG_NEWER'])

/**
 * Makes the journal anew over the one that is there, whose entries are given up: the caller has written that down. The
 * ring is not written again where its space is allocated already.
 */
export async function recreateJournal(
  options: JournalFileOptions & { readonly sizeBytes: number },
  listener: RingLogListener,
): Promise<OpenedLog> {
  const { disks, path, sizeBytes } = options
  const { disk, there, size } = await place(disks, path, sizeBytes)
  try {
    return await openRingLog({
      ...ring(options, disk, listener),
      mode: 'create',
      sizeBytes: size,
      discardEntries: true,
      sparse: there !== null,
    })
  } catch (error) {
    await disk.close()
    throw error
  }
}

function ring(
  options: JournalFileOptions,
  disk: Disk,
  listener: RingLogListener,
): Omit<Parameters<typeof openRingLog>[0], 'mode'> {
  return {
    disk,
    rule: 'monotone',
    recentBytesMax: options.recentBytesMax,
    recentEntriesMax: RECENT_ENTRIES_MAX,
    readOnce: true,
    listener,
    clock: options.clock,
    random: options.random,
  }
}
