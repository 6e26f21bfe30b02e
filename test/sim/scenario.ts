/**
 * What is drawn before a simulated life begins: sizes, links, latencies, sites with their policies, and which families
 * of faults it knows.
 *
 * Pure: a seed in, a scenario out. Not every life knows every fault, because faults hide each other: a link that is cut
 * every second never shows what a long, quiet resync does.
 */
import type { NewMapping, NewSlink } from '@sitelink/primary'
import { Prng } from '@sitelink/storage/testing'
import { MIB, type WorldOptions } from '../pair/world.js'

/** Families of things that go wrong or are changed. Writes, reads and the passing of time are in every life. */
export const FAMILIES = ['network', 'flips', 'agents', 'primary', 'operator', 'disks', 'rot'] as const
export type Family = (typeof FAMILIES)[number]

/** A site as it is added first. */
export interface SiteDraw extends Pick<NewSlink, 'mode' | 'ack' | 'overflow' | 'holdMs' | 'fallBehind'> {
  readonly dirtyLog: NewMapping['dirtyLog']
}

export interface Scenario {
  readonly world: WorldOptions
  readonly sites: readonly SiteDraw[]
  readonly families: ReadonlySet<Family>
  /** Disks take time, so that deaths fall between the steps of anything. */
  readonly slow: boolean
  readonly steps: number
  /** The operator verifies now and then. From a stream of its own: what older seeds draw stays what it was. */
  readonly verifies: boolean
}

/** How likely a life knows a family. */
const SHARE: Record<Family, number> = {
  network: 0.6,
  flips: 0.2,
  agents: 0.7,
  primary: 0.6,
  operator: 0.6,
  disks: 0.3,
  rot: 0.15,
}

export function drawScenario(seed: string, draw: Prng): Scenario {
  const slow = draw.chance(0.4)
  const families = new Set(FAMILIES.filter((family) => draw.chance(SHARE[family])))
  const siteCount = draw.pick([1, 1, 1, 2, 2, 3])
  // From a stream of its own: what older seeds draw stays what it was.
  const shares = new Prng(`${seed}/resume`)
  const sites = Array.from({ length: siteCount }, () => withShare(drawSite(draw), shares))
  return {
    slow,
    families,
    sites,
    steps: draw.between(5, 30),
    verifies: new Prng(`${seed}/verifies`).chance(0.5),
    world: {
      seed,
      // With few regions everything is soon dirty, with many a region that was forgotten shows.
      deviceBytes: draw.chance(0.35) ? [5 * MIB, 9 * MIB + 4096] : draw.pick([[MIB], [MIB, 2 * MIB + 4096]]),
      logBytes: draw.pick([2, 2, 2, 3, 6]) * MIB,
      journalBytes: draw.pick([4, 4, 6]) * MIB,
      agents: siteCount,
      link: {
        latencyMs: draw.pick([0, 1, 10, 40]),
        jitterMs: draw.pick([0, 0, 5]),
        // A narrow link makes a resync last, so that something happens to it.
        bandwidthBytes: draw.pick([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 3_000_000, 400_000]),
        segmentBytesMin: draw.pick([1, 1000, 65_536]),
        segmentBytesMax: 65_536,
      },
      agentLimits: {
        writeBackBytesMax: draw.pick([MIB / 4, 64 * MIB]),
        // From a stream of its own: what older seeds draw stays what it was.
        recentBytesMax: new Prng(`${seed}/recent`).pick([1, 65_536, 16 * MIB]),
      },
      primaryLimits: { overlayBytesMax: draw.pick([MIB / 8, 32 * MIB]), recentBytesMax: draw.pick([65_536, 8 * MIB]) },
      ...(slow ? { diskLatency: { readMs: [0, 2], writeMs: [0, 4], syncMs: [0, 20] } } : {}),
    },
  }
}

/** Some of those with limits are waited for until they are within a part of them. */
function withShare(site: SiteDraw, draw: Prng): SiteDraw {
  const resumePercent = draw.pick([null, 1, 50, 99])
  const { ios = 0, bytes = 0, timeoutMs = 0 } = site.fallBehind ?? {}
  if (resumePercent === null || ios + bytes + timeoutMs === 0) return site
  return { ...site, fallBehind: { ios, bytes, timeoutMs, resumePercent } }
}

function drawSite(draw: Prng): SiteDraw {
  const mode = draw.pick(['sync', 'async'] as const)
  const limited = mode === 'async' && draw.chance(0.4)
  return {
    mode,
    ack: draw.pick(['received', 'durable']),
    overflow: draw.pick(['drop', 'drop', 'stall', 'fail']),
    holdMs: draw.pick([null, 200, 2000]),
    fallBehind: limited
      ? { ios: draw.pick([0, 5, 50]), bytes: draw.pick([0, 100_000]), timeoutMs: draw.pick([0, 300]) }
      : { ios: 0, bytes: 0, timeoutMs: 0 },
    dirtyLog: draw.chance(0.7) ? { type: 'disk', path: null } : { type: 'core' },
  }
}
