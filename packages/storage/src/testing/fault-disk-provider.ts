/**
 * A simulated directory tree of {@link FaultDisk}s: one host's disks, as a process of it sees them.
 *
 * Owns the paths, the locks and the space of its file system. Like a disk it lives as long as its process: after
 * `powerCut` or `crashProcess` it is dead, its operations never settle, and the returned provider is what the next
 * process of that host uses. Names are durable as soon as an operation on them has returned; one under way when the
 * process dies happened or did not.
 */
import type { Clock } from '@sitelink/protocol/entry'
import { DiskError, type DiskCode } from '../disk/disk-error.js'
import type { Disk, DiskProvider, OpenOptions } from '../disk/disk.js'
import { FaultDisk } from './fault-disk.js'
import type { DiskCounts, DiskLatency } from './fault-disk-options.js'
import { FaultMedium } from './fault-medium.js'
import { callSite, HostRecorder, HostTrace, type HostFile } from './host-trace.js'
import { FaultPlan, type DiskFault, type InjectedFault } from './fault-plan.js'
import type { PowerCutPolicy } from './power-cut.js'
import { Prng } from './prng.js'
import { SPARSE_CHUNK_BYTES, type SparseBytes } from './sparse-bytes.js'

export interface FaultProviderOptions {
  readonly prng?: Prng
  readonly clock?: Clock
  readonly latency?: DiskLatency
  /** Space of the file system in bytes; block devices do not count. Default: no end. */
  readonly capacityBytes?: number
}

/** An operation of the provider that is to fail. */
export interface ProviderFault {
  readonly on: 'open' | 'create' | 'readFile' | 'replaceFile' | 'removeFile'
  readonly path: string
  readonly code: DiskCode
  /** Operations to strike. Default 1. */
  readonly count?: number
}

interface Node {
  readonly id: string
  readonly kind: 'file' | 'block-device'
  readonly medium: FaultMedium
  readonly faults: FaultPlan
  readonly counts: DiskCounts
  readonly sectorBytes: 512 | 4096
  readonly readOnly: boolean
  /** Bytes taken from the file system whatever is written; 0 for a sparse file. */
  readonly reservedBytes: number
  readonly handles: Set<FaultDisk>
  heldBy: FaultDisk | null
}

interface Shared {
  readonly nodes: Map<string, Node>
  readonly prng: Prng
  nextId: number
  recorder: HostRecorder | null
}

export class FaultDiskProvider implements DiskProvider {
  readonly #options: FaultProviderOptions
  readonly #shared: Shared
  readonly #faults: { readonly fault: ProviderFault; left: number }[] = []
  readonly #underWay = new Set<() => void>()
  #dead = false

  constructor(options: FaultProviderOptions = {}, shared?: Shared) {
    this.#options = options
    this.#shared = shared ?? { nodes: new Map(), prng: options.prng ?? new Prng(1), nextId: 1, recorder: null }
  }

  // ----- what a test does to it -----

  /** Puts a block device of zeros there. */
  addDevice(
    path: string,
    sizeBytes: number,
    options: { readonly sectorBytes?: 512 | 4096; readonly readOnly?: boolean } = {},
  ): void {
    this.#shared.nodes.set(path, this.#newNode('block-device', sizeBytes, { ...options, reservedBytes: 0 }))
  }

  /** Puts a file or device there with this content, all of it durable. */
  put(path: string, { kind, sizeBytes, sectorBytes, content }: Omit<HostFile, 'id'>): void {
    const node = this.#newNode(kind, sizeBytes, { sectorBytes, reservedBytes: 0 }, content)
    this.#shared.nodes.set(path, node)
  }

  /**
   * Records everything that happens to the disks of this host from here on, in this process and those after it. `host`
   * stands before each path; with `into` the events of several hosts stand in one order.
   */
  startTrace(host = '', into = new HostTrace()): HostTrace {
    const { nodes } = this.#shared
    const recorder = new HostRecorder(into, host)
    this.#shared.recorder = recorder
    for (const [path, node] of nodes) recorder.found(path, fileOf(node))
    for (const node of new Set(nodes.values())) {
      for (const change of node.medium.unsynced) recorder.happened(node.id, { kind: 'change', change })
      node.medium.watch = (event) => recorder.happened(node.id, event)
    }
    into.givenCount = into.events.length
    return into
  }

  /** Makes `path` another name of what is at `target`. */
  link(target: string, path: string): void {
    this.#shared.nodes.set(path, this.#find(target, 'link'))
  }

  /** Changes the size of a block device or file under whoever uses it, as an administrator could. */
  resize(path: string, sizeBytes: number): void {
    this.#find(path, 'resize').medium.resize(sizeBytes)
  }

  /** A fault of the disk at `path`, for handles that are open and for those to come. */
  inject(path: string, fault: DiskFault): InjectedFault {
    return this.#find(path, 'inject').faults.inject(fault)
  }

  /** A fault of an operation on names. */
  injectProviderFault(fault: ProviderFault): void {
    this.#faults.push({ fault, left: fault.count ?? 1 })
  }

  /** No fault that was injected strikes any more, on any path. */
  clearFaults(): void {
    this.#faults.length = 0
    for (const { faults } of this.#shared.nodes.values()) faults.clear()
  }

  /** The handles that are open on a path, oldest first. */
  handles(path: string): readonly FaultDisk[] {
    return [...this.#find(path, 'handles').handles]
  }

  /** The contents at a path, for a look without an operation. */
  medium(path: string): FaultMedium {
    return this.#find(path, 'medium').medium
  }

  /** Every path, sorted. */
  paths(): string[] {
    return [...this.#shared.nodes.keys()].sort()
  }

  /** The host loses power: what was unsynced on each disk is kept or lost by the policy. */
  powerCut(policy: PowerCutPolicy): FaultDiskProvider {
    this.#die('unsynced')
    for (const node of new Set(this.#shared.nodes.values())) node.medium.powerCut(policy)
    return new FaultDiskProvider(this.#options, this.#shared)
  }

  /** The process dies; the host lives on. */
  crashProcess(underWay: 'all' | 'none' | 'random' = 'random'): FaultDiskProvider {
    this.#die(underWay)
    return new FaultDiskProvider(this.#options, this.#shared)
  }

  /** A separate host with the same disks as they are now: for a look by another process. No latency, no faults, no locks. */
  fork(prng: Prng): FaultDiskProvider {
    const nodes = new Map<string, Node>()
    const copies = new Map<Node, Node>()
    for (const [path, node] of this.#shared.nodes) {
      const copy = copies.get(node) ?? {
        ...node,
        medium: node.medium.fork(prng.fork(node.id)),
        faults: new FaultPlan(),
        counts: { ...node.counts },
        handles: new Set<FaultDisk>(),
        heldBy: null,
      }
      copies.set(node, copy)
      nodes.set(path, copy)
    }
    return new FaultDiskProvider({ prng }, { nodes, prng, nextId: this.#shared.nextId, recorder: null })
  }

  // ----- DiskProvider -----

  async open(path: string, options: OpenOptions = {}): Promise<Disk> {
    await this.#turn()
    this.#strike('open', path)
    const node = this.#find(path, 'open')
    if (node.readOnly && options.readOnly !== true)
      throw new DiskError('DISK_READ_ONLY', path, 'cannot open', { errno: 'EROFS' })
    return this.#handle(node, path, options)
  }

  async create(
    path: string,
    sizeBytes: number,
    options: OpenOptions & { readonly preallocate?: boolean; readonly progress?: (bytes: number) => void } = {},
  ): Promise<Disk> {
    await this.#turn()
    this.#strike('create', path)
    if (this.#shared.nodes.has(path)) throw new DiskError('DISK_EXISTS', path, 'cannot create', { errno: 'EEXIST' })
    const reservedBytes = options.preallocate === true ? sizeBytes : 0
    if (!this.#hasSpace(reservedBytes)) throw new DiskError('DISK_FULL', path, 'cannot create', { errno: 'ENOSPC' })
    const node = this.#newNode('file', sizeBytes, { reservedBytes })
    await this.#name(this.#putting(path, node))
    if (options.preallocate === true) {
      options.progress?.(Math.floor(sizeBytes / 2))
      options.progress?.(sizeBytes)
    }
    return this.#handle(node, path, options)
  }

  async exists(path: string): Promise<'file' | 'block-device' | null> {
    await this.#turn()
    return this.#shared.nodes.get(path)?.kind ?? null
  }

  async identify(path: string): Promise<string> {
    await this.#turn()
    return this.#find(path, 'identify').id
  }

  async readFile(path: string): Promise<Buffer | null> {
    await this.#turn()
    this.#strike('readFile', path)
    const node = this.#shared.nodes.get(path)
    if (node === undefined) return null
    const bytes = Buffer.alloc(node.medium.sizeBytes)
    if (node.medium.isUnreadable(0, bytes.length)) throw new DiskError('DISK_IO', path, 'cannot read', { errno: 'EIO' })
    node.medium.read(bytes, 0)
    return bytes
  }

  async replaceFile(path: string, content: Buffer): Promise<void> {
    const bytes = Buffer.from(content)
    await this.#turn()
    this.#strike('replaceFile', path)
    if (!this.#hasSpace(bytes.length)) throw new DiskError('DISK_FULL', path, 'cannot replace', { errno: 'ENOSPC' })
    const node = this.#newNode('file', bytes.length, { reservedBytes: bytes.length })
    if (bytes.length > 0) node.medium.apply(0, bytes.length, bytes)
    node.medium.synced(node.medium.sequence)
    await this.#name(this.#putting(path, node))
  }

  async removeFile(path: string): Promise<void> {
    await this.#turn()
    this.#strike('removeFile', path)
    const askedBy = this.#shared.recorder === null ? '' : callSite()
    await this.#name(() => {
      if (this.#shared.nodes.delete(path)) this.#shared.recorder?.removed(path, askedBy)
    })
  }

  // ----- inside -----

  #newNode(
    kind: Node['kind'],
    sizeBytes: number,
    options: { readonly sectorBytes?: 512 | 4096; readonly readOnly?: boolean; readonly reservedBytes: number },
    content?: SparseBytes,
  ): Node {
    const id = `${kind}:${this.#shared.nextId++}`
    return {
      id,
      kind,
      medium: new FaultMedium(sizeBytes, this.#shared.prng.fork(id), content?.clone(), content?.clone()),
      faults: new FaultPlan(),
      counts: { reads: 0, writes: 0, syncs: 0, discards: 0, readBytes: 0, writtenBytes: 0, failures: 0 },
      sectorBytes: options.sectorBytes ?? 512,
      readOnly: options.readOnly ?? false,
      reservedBytes: options.reservedBytes,
      handles: new Set(),
      heldBy: null,
    }
  }

  /** The change that lets a path lead to a new node. */
  #putting(path: string, node: Node): () => void {
    const askedBy = this.#shared.recorder === null ? '' : callSite()
    return () => {
      this.#shared.nodes.set(path, node)
      const { recorder } = this.#shared
      if (recorder === null) return
      recorder.named(path, fileOf(node), askedBy)
      node.medium.watch = (event) => recorder.happened(node.id, event)
    }
  }

  #handle(node: Node, path: string, options: OpenOptions): FaultDisk {
    if (options.exclusive === true && node.heldBy !== null)
      throw new DiskError('DISK_IN_USE', path, 'cannot open', { errno: 'EBUSY' })
    const { clock, latency } = this.#options
    const disk = new FaultDisk(
      {
        sizeBytes: node.medium.sizeBytes,
        prng: node.medium.prng,
        description: path,
        sectorBytes: node.sectorBytes,
        readOnly: options.readOnly ?? false,
        ...(clock === undefined ? {} : { clock }),
        ...(latency === undefined ? {} : { latency }),
        takeSpace: (bytes) => node.kind === 'block-device' || node.reservedBytes > 0 || this.#hasSpace(bytes),
      },
      { medium: node.medium, counts: node.counts, faults: node.faults },
    )
    node.handles.add(disk)
    if (options.exclusive === true) node.heldBy = disk
    disk.onEnd(() => {
      node.handles.delete(disk)
      if (node.heldBy === disk) node.heldBy = null
    })
    return disk
  }

  #hasSpace(bytes: number): boolean {
    let used = 0
    for (const node of new Set(this.#shared.nodes.values())) {
      if (node.kind === 'file') used += Math.max(node.reservedBytes, node.medium.chunkCount * SPARSE_CHUNK_BYTES)
    }
    return used + bytes <= (this.#options.capacityBytes ?? Number.POSITIVE_INFINITY)
  }

  #find(path: string, what: string): Node {
    const node = this.#shared.nodes.get(path)
    if (node === undefined) throw new DiskError('DISK_MISSING', path, `cannot ${what}`, { errno: 'ENOENT' })
    return node
  }

  #strike(on: ProviderFault['on'], path: string): void {
    const hit = this.#faults.find(({ fault, left }) => left > 0 && fault.on === on && fault.path === path)
    if (hit === undefined) return
    hit.left--
    throw new DiskError(hit.fault.code, path, `cannot ${on}`)
  }

  /** Changes a name: between its call and its return a death of the process leaves it done or not. */
  async #name(change: () => void): Promise<void> {
    this.#underWay.add(change)
    await this.#turn()
    if (this.#underWay.delete(change)) change()
  }

  async #turn(): Promise<void> {
    if (!this.#dead) await Promise.resolve()
    if (this.#dead) await new Promise<never>(() => undefined)
  }

  #die(underWay: 'all' | 'none' | 'random' | 'unsynced'): void {
    this.#dead = true
    for (const change of this.#underWay)
      if (underWay === 'all' || (underWay !== 'none' && this.#shared.prng.chance(0.5))) change()
    for (const node of new Set(this.#shared.nodes.values())) for (const disk of [...node.handles]) disk.die(underWay)
  }
}

/** What a node holds durably now. */
function fileOf({ id, kind, sectorBytes, medium }: Node): HostFile {
  return { id, kind, sectorBytes, sizeBytes: medium.sizeBytes, content: medium.durableContent() }
}
