/**
 * Everything that happened to all disks of a host, in one order: writes that landed, syncs that ended, names that changed.
 *
 * Owns the contents at the start and the list of events; with both, the disks of the host can be made again as they were
 * at any moment (`test/crash-points` does). Marks of the test stand in the same order, so that a promise has its moment
 * too. Changes nothing of what it watches.
 */
import type { WatchedEvent } from './fault-medium.js'
import type { Change } from './power-cut.js'
import type { SparseBytes } from './sparse-bytes.js'

/** What a path leads to, durably, at some moment. */
export interface HostFile {
  /** Two paths may lead to the same file. */
  readonly id: string
  readonly kind: 'file' | 'block-device'
  readonly sectorBytes: 512 | 4096
  readonly sizeBytes: number
  readonly content: SparseBytes
}

export type HostEvent =
  /** A change became visible. */
  | { readonly kind: 'change'; readonly file: string; readonly change: Change }
  /** A sync ended well; it covered every change of this file up to this sequence. */
  | { readonly kind: 'synced'; readonly file: string; readonly sequence: number; readonly askedBy: string }
  | { readonly kind: 'resized'; readonly file: string; readonly sizeBytes: number }
  /** A path leads to a file from now on, durably; what it led to before is gone. */
  | { readonly kind: 'named'; readonly path: string; readonly file: HostFile; readonly askedBy: string }
  | { readonly kind: 'removed'; readonly path: string; readonly askedBy: string }
  /** Something that the test wanted to remember. */
  | { readonly kind: 'mark'; readonly mark: unknown }

export class HostTrace {
  readonly events: HostEvent[] = []
  /** Events at the beginning that had happened before: what was unsynced when it was started. */
  givenCount = 0
  #isOver = false

  /** What each path led to when it began. */
  readonly start = new Map<string, HostFile>()

  /** Remembers a moment, such as that of a promise. */
  mark(mark: unknown): void {
    this.add({ kind: 'mark', mark })
  }

  /** Nothing that happens from now on is part of it. */
  stop(): void {
    this.#isOver = true
  }

  add(event: HostEvent): void {
    if (!this.#isOver) this.events.push(event)
  }
}

/** Writes what happens on one host into a trace; `host` stands before its paths and files. */
export class HostRecorder {
  constructor(
    readonly trace: HostTrace,
    readonly host: string,
  ) {}

  found(path: string, file: HostFile): void {
    this.trace.start.set(this.host + path, this.#ours(file))
  }

  happened(id: string, event: WatchedEvent): void {
    this.trace.add({ ...event, file: this.host + id })
  }

  named(path: string, file: HostFile, askedBy: string): void {
    this.trace.add({ kind: 'named', path: this.host + path, file: this.#ours(file), askedBy })
  }

  removed(path: string, askedBy: string): void {
    this.trace.add({ kind: 'removed', path: this.host + path, askedBy })
  }

  #ours(file: HostFile): HostFile {
    return { ...file, id: this.host + file.id }
  }
}

const FRAMES_MAX = 3

/** Who asked for an operation on a disk: the innermost functions outside these doubles, innermost first. */
export function callSite(): string {
  const frames = (new Error().stack ?? '').split('\n').slice(1)
  return frames
    .map((line) => /at (?:async )?(?:new )?(\S+) .*\/([\w.-]+)\.[jt]s:\d+:\d+\)?$/.exec(line))
    .flatMap((match) => (match === null || isDouble(match[2] as string) ? [] : [`${match[2]} ${match[1]}`]))
    .slice(0, FRAMES_MAX)
    .join(' < ')
}

function isDouble(file: string): boolean {
  return file === 'host-trace' || file.startsWith('fault-') || file.startsWith('sim-')
}
