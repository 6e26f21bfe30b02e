/**
 * Everybody in the storm: a primary, two agents, the links between them, their disks, and the history of what was written.
 *
 * Agent 1 begins as a synchronous site that stalls, agent 2 as an asynchronous one that is dropped; the log is small, so
 * that it overflows. Two devices are judged block by block, a third belongs to fio. What the machine cannot do is left out
 * and said. Owns all of it: `close` takes it down, and so does the end of the process.
 */
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LinkScheme } from '../support/carriers.js'
import { findProgram } from '../support/clients.js'
import { type AgentSite, Cluster } from '../support/cluster.js'
import { History } from '../support/history.js'
import { removeFolder, temporaryFolder } from '../support/places.js'
import { BLOCK_BYTES, type Shown } from '../support/stamp.js'
import { Daemon } from './daemon.js'
import { Link } from './link.js'
import { NameSpace, nameSpaceProblem } from './name-space.js'
import type { Abilities, Site } from './plan.js'
import { SmallDisk, smallDiskProblem } from './small-disk.js'
import type { Trace } from './trace.js'

const MIB = 1024 * 1024

export const FIO_DEVICE = 'fio'
const DEVICES = [
  { name: 'data', sizeBytes: 8 * MIB },
  { name: 'journal', sizeBytes: 4 * MIB },
  { name: FIO_DEVICE, sizeBytes: 8 * MIB },
]
/** The devices of these numbers are written by the storm's own writers, and judged. */
export const JUDGED_DEVICES = [0, 1] as const

const LOG_SIZE = '8m'
const JOURNAL_SIZE = '16m'
/** Room for a state directory, dirty logs and, at an agent, the journal. */
const PRIMARY_DISK_BYTES = 16 * MIB
const AGENT_DISK_BYTES = 48 * MIB

const SLINK_WORDS = [
  ['--policy', 'sync', '--overflow', 'stall'],
  ['--policy', 'async', '--overflow', 'drop'],
] as const

export interface Problems {
  readonly namespaces: string | null
  readonly smallDisks: string | null
  readonly fio: string | null
}

/** What cannot be done here, and why. */
export function problems(): Problems {
  return {
    namespaces: nameSpaceProblem(),
    smallDisks: smallDiskProblem(),
    fio: findProgram('fio') === null ? 'fio is not installed' : null,
  }
}

export class Cast {
  readonly history: History
  readonly links = new Map<number, Link>()
  readonly daemons = new Map<Site, Daemon>()
  /** Whether an agent is dialed straight, or through its proxy. */
  readonly straight = new Map<number, boolean>()
  /** Agents whose identity the primary has pinned: they need no token to be reached in another way. */
  readonly #enrolled = new Set<number>()
  readonly fio: string | null

  private constructor(
    readonly cluster: Cluster,
    readonly abilities: Abilities,
    readonly logFolder: string,
    private readonly disks: ReadonlyMap<Site, SmallDisk>,
    private readonly spaces: readonly NameSpace[],
    trace: Trace,
  ) {
    this.fio = findProgram('fio')
    this.history = new History(
      JUDGED_DEVICES.map((device) =>
        Array.from({ length: (DEVICES[device]?.sizeBytes ?? 0) / BLOCK_BYTES }, (): Shown => ({ kind: 'empty' })),
      ),
    )
    const primary = {
      program: () => cluster.program,
      launch: () => cluster.launchPrimary(),
      answers: () => cluster.primaryAnswers(),
      status: () => cluster.status(),
    }
    this.daemons.set('primary', new Daemon('primary', primary, disks.get('primary') ?? null, trace))
    for (const agent of cluster.agents) {
      const site = siteOf(agent.slink)
      const hands = {
        program: () => agent.program,
        launch: () => agent.launch(),
        answers: () => agent.answers(),
        status: () => agent.status(),
      }
      this.daemons.set(site, new Daemon(site, hands, disks.get(site) ?? null, trace))
      this.links.set(agent.slink, new Link(agent.proxy, spaces[agent.slink - 1] ?? null))
      this.straight.set(agent.slink, false)
    }
    for (const daemon of this.daemons.values()) daemon.watch()
  }

  static async start(trace: Trace, able: Problems): Promise<Cast> {
    const logFolder = temporaryFolder('storm-logs')
    const disks = new Map<Site, SmallDisk>()
    const spaces: NameSpace[] = []
    try {
      if (able.smallDisks === null) {
        disks.set('primary', await SmallDisk.make('primary', PRIMARY_DISK_BYTES))
        for (const slink of [1, 2]) disks.set(siteOf(slink), await SmallDisk.make(`agent-${slink}`, AGENT_DISK_BYTES))
      }
      if (able.namespaces === null) for (const at of [0, 1]) spaces.push(await NameSpace.make(at))
      const cluster = await Cluster.start({
        label: 'storm',
        devices: DEVICES,
        logSize: LOG_SIZE,
        logFolder,
        ...folderOf(disks.get('primary'), 'primaryFolder'),
        slinks: SLINK_WORDS.map((words, at) => ({
          words,
          // A journal of which blocks are missing fails the agent when the disk is full: that is what is wanted here.
          agentWords: ['--journal-size', JOURNAL_SIZE, ...(at === 1 ? ['--sparse'] : [])],
          ...folderOf(disks.get(siteOf(at + 1)), 'folder'),
          ...(spaces[at] === undefined ? {} : { host: spaces[at].host, launcher: spaces[at].launcher }),
        })),
      })
      const abilities = { namespaces: able.namespaces === null, smallDisks: able.smallDisks === null }
      return new Cast(cluster, abilities, logFolder, disks, spaces, trace)
    } catch (error) {
      await takeDown(disks.values(), spaces)
      throw error
    }
  }

  daemon(site: Site): Daemon {
    const daemon = this.daemons.get(site)
    if (daemon === undefined) throw new Error(`there is no ${site}`)
    return daemon
  }

  link(slink: number): Link {
    const link = this.links.get(slink)
    if (link === undefined) throw new Error(`there is no link of slink ${slink}`)
    return link
  }

  /** What the primary is told behind `--to`, of an agent that is enrolled or reached plainly. */
  toWords(agent: AgentSite, straight: boolean): string[] {
    return [agent.address({ straight }), ...(agent.scheme === 'tcp' ? ['--insecure-plain'] : [])]
  }

  /** Takes a link over to another carrier, whatever is under way: the agent listens anew, and the primary is told where. */
  async carry(slink: number, scheme: LinkScheme): Promise<void> {
    const agent = this.cluster.agent(slink)
    if (agent.scheme === scheme) return
    const daemon = this.daemon(siteOf(slink))
    await daemon.exclusive(async () => {
      await daemon.stop()
      agent.scheme = scheme
      await daemon.start()
    })
    const isKnown = scheme === 'tcp' || this.#enrolled.has(slink)
    const to = isKnown ? this.toWords(agent, false) : [await agent.invite()]
    await this.cluster.must('slink', 'set', String(slink), '--to', ...to)
    if (scheme !== 'tcp') this.#enrolled.add(slink)
    this.straight.set(slink, false)
  }

  /** Copies logs, states, journals and devices to where they outlive the storm; answers where. */
  async keep(trace: Trace): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), 'sitelink-storm-kept-'))
    for (const [site, daemon] of this.daemons) {
      const status = daemon.runs ? await daemon.hands.status().catch(String) : 'it does not run'
      writeFileSync(join(folder, `${site}-status.json`), JSON.stringify(status, null, 2))
    }
    cpSync(this.logFolder, join(folder, 'logs'), { recursive: true })
    cpSync(trace.path, join(folder, 'trace.log'))
    const filter = (path: string): boolean => !path.endsWith('.sock') && !path.endsWith('ballast')
    cpSync(this.cluster.folder, join(folder, 'cluster'), { recursive: true, filter })
    for (const [site, disk] of this.disks)
      cpSync(disk.folder, join(folder, `${site}-disk`), { recursive: true, filter })
    return folder
  }

  async close(): Promise<void> {
    for (const daemon of this.daemons.values()) daemon.leave()
    await this.cluster.close()
    await takeDown(this.disks.values(), this.spaces)
    removeFolder(this.logFolder)
  }
}

export function siteOf(slink: number): 'agent-1' | 'agent-2' {
  return slink === 1 ? 'agent-1' : 'agent-2'
}

function folderOf<K extends string>(disk: SmallDisk | undefined, key: K): { [key in K]?: string } {
  if (disk === undefined) return {}
  const folder = join(disk.folder, 'place')
  mkdirSync(folder, { recursive: true })
  return { [key]: folder } as { [key in K]: string }
}

async function takeDown(disks: Iterable<SmallDisk>, spaces: readonly NameSpace[]): Promise<void> {
  for (const disk of disks) await disk.remove().catch(() => disk.abandon())
  for (const space of spaces) await space.remove().catch(() => space.abandon())
}
