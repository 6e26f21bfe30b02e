/**
 * What a round of the storm does to whom and when, drawn from a seed before the round begins.
 *
 * A round has lanes that run side by side: one for each process, one for the link of each agent, one for the disks, one
 * for the operator. A lane is a list of steps, each after a pause and for a while, one after the other, so that no two
 * faults of one lane meet and those of different lanes often do. A pure function of the generator and of what the machine
 * can do: the same seed draws the same rounds.
 */
import type { Prng } from '@sitelink/storage/testing'

/** What this machine lets a storm do. */
export interface Abilities {
  /** Network namespaces: real links that can be taken down or made silent. */
  readonly namespaces: boolean
  /** Small filesystems of its own that can be filled. */
  readonly smallDisks: boolean
}

/** `kill` is SIGKILL; `crash-start` kills again while it starts; `freeze` is SIGSTOP and SIGCONT; `restart` SIGTERM. */
export type ProcessFault = 'kill' | 'crash-start' | 'freeze' | 'restart'
export type ProxyFault = 'cut' | 'flap' | 'half-open' | 'stall-out' | 'stall-in' | 'delay' | 'limit'
export type LinkFault = 'link-down' | 'silence-out' | 'silence-in'
export type Verb = 'pause' | 'resync' | 'resync-full' | 'remap' | 'policy' | 'fall-behind' | 'rate' | 'path' | 'status'
export type Site = 'primary' | 'agent-1' | 'agent-2'

export const SITES: readonly Site[] = ['primary', 'agent-1', 'agent-2']

export type Step = { readonly afterMs: number; readonly forMs: number } & (
  | { readonly kind: 'process'; readonly site: Site; readonly fault: ProcessFault }
  | {
      readonly kind: 'network'
      readonly slink: number
      readonly fault: ProxyFault | LinkFault
      readonly amount: number
    }
  | { readonly kind: 'disk-full'; readonly site: Site }
  | { readonly kind: 'verb'; readonly verb: Verb; readonly slink: number; readonly choice: number }
)

export interface RoundPlan {
  readonly lanes: readonly (readonly Step[])[]
  /** How the load is: writers, blocks of one write, their rest, and what fio may write a second. */
  readonly load: {
    readonly writers: number
    readonly blocksMax: number
    readonly restMsMax: number
    readonly fioBytesPerSecond: number
  }
}

const MIB = 1024 * 1024

const proxyFaults: readonly ProxyFault[] = ['cut', 'flap', 'half-open', 'stall-out', 'stall-in', 'delay', 'limit']
const linkFaults: readonly LinkFault[] = ['link-down', 'silence-out', 'silence-in']
const processFaults: readonly ProcessFault[] = ['kill', 'kill', 'kill', 'crash-start', 'freeze', 'freeze', 'restart']
const verbs: readonly Verb[] = [
  'pause',
  'resync',
  'resync-full',
  'remap',
  'policy',
  'fall-behind',
  'rate',
  'path',
  'status',
]

/** Longest silences: some stay below the time in which a peer counts as lost, some are beyond it. */
const FREEZE_MS_MAX = 5000
const NETWORK_MS_MAX = 5000
const DISK_MS_MAX = 4000
const PAUSE_MS_MAX = 2500

export function drawRound(prng: Prng, abilities: Abilities): RoundPlan {
  // Now and then everything dies at the same moment.
  const together = prng.chance(0.2) ? prng.between(300, 2000) : null
  // In some rounds the synchronous site is left in peace: nobody waits for it, and what the other misses overflows the log.
  const flood = together === null && prng.chance(0.3)
  const troubled = (slink: number): boolean => !flood || slink === 2
  const sites = SITES.filter((site) => site !== 'agent-1' || troubled(1))
  const lanes: Step[][] = sites.map((site) => processLane(prng.fork(site), site, together))
  for (const slink of [1, 2].filter(troubled)) lanes.push(networkLane(prng.fork(`link ${slink}`), slink, abilities))
  if (flood) lanes.push([outage(prng.fork('outage'))])
  if (abilities.smallDisks) lanes.push(diskLane(prng.fork('disk')))
  lanes.push(operatorLane(prng.fork('operator'), abilities))
  return {
    lanes: lanes.filter((lane) => lane.length > 0),
    load: {
      writers: prng.between(2, 8),
      blocksMax: flood ? 64 : prng.pick([1, 8, 8, 64]),
      restMsMax: flood ? 0 : prng.pick([0, 5, 20, 60]),
      fioBytesPerSecond: prng.pick([MIB / 2, 2 * MIB, 6 * MIB]),
    },
  }
}

function processLane(prng: Prng, site: Site, together: number | null): Step[] {
  const steps: Step[] = []
  if (together !== null) steps.push({ kind: 'process', site, fault: 'kill', afterMs: together, forMs: prng.below(500) })
  const more = prng.pick([0, 0, 1, 1, 2])
  for (let i = 0; i < more; i++) {
    const fault = prng.pick(processFaults)
    const forMs = fault === 'freeze' ? prng.between(50, FREEZE_MS_MAX) : prng.below(prng.pick([20, 500, 3000]))
    steps.push({ kind: 'process', site, fault, afterMs: prng.below(3000), forMs })
  }
  return steps
}

function networkLane(prng: Prng, slink: number, { namespaces }: Abilities): Step[] {
  return Array.from({ length: prng.pick([0, 1, 1, 2, 3]) }, () => {
    const fault = namespaces && prng.chance(0.5) ? prng.pick(linkFaults) : prng.pick(proxyFaults)
    const amount = fault === 'delay' ? prng.between(5, 400) : fault === 'limit' ? prng.between(64 * 1024, 4 * MIB) : 0
    const forMs = prng.between(20, NETWORK_MS_MAX)
    return { kind: 'network', slink, fault, amount, afterMs: prng.below(2000), forMs }
  })
}

/** So long that a flood overflows the log. */
function outage(prng: Prng): Step {
  const forMs = prng.between(3000, NETWORK_MS_MAX)
  return { kind: 'network', slink: 2, fault: 'cut', amount: 0, afterMs: prng.below(500), forMs }
}

function diskLane(prng: Prng): Step[] {
  if (!prng.chance(0.5)) return []
  const site = prng.pick([...SITES, 'agent-2'] as const)
  return [{ kind: 'disk-full', site, afterMs: prng.below(2000), forMs: prng.between(200, DISK_MS_MAX) }]
}

function operatorLane(prng: Prng, { namespaces }: Abilities): Step[] {
  return Array.from({ length: prng.pick([0, 1, 2, 2, 3]) }, () => {
    const drawn = prng.pick(verbs)
    const verb = drawn === 'path' && !namespaces ? 'status' : drawn
    const forMs = prng.below(PAUSE_MS_MAX)
    const slink = prng.between(1, 2)
    return { kind: 'verb', verb, slink, choice: prng.below(1000), afterMs: prng.below(2500), forMs }
  })
}

/** A step in words. */
export function stepText(step: Step): string {
  switch (step.kind) {
    case 'process':
      return `${step.fault} ${step.site}${step.fault === 'freeze' ? ` for ${step.forMs} ms` : ''}`
    case 'network':
      return `${step.fault} of the link of slink ${step.slink} for ${step.forMs} ms${step.amount === 0 ? '' : ` (${step.amount})`}`
    case 'disk-full':
      return `disk of ${step.site} full for ${step.forMs} ms`
    case 'verb':
      return `${step.verb} slink ${step.slink}`
  }
}

/** By what a step is counted. */
export function stepName(step: Step): string {
  switch (step.kind) {
    case 'process':
      return step.fault
    case 'network':
      return step.fault
    case 'disk-full':
      return 'disk-full'
    case 'verb':
      return step.verb
  }
}
