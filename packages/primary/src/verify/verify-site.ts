/**
 * The verb: compares a site with the local devices from beginning to end, over as many sessions as it takes.
 *
 * Owns the wait for the site and the end: it yields how far it is, and stops when nobody listens any more, so that no verify
 * runs that nobody sees. Decides nothing about a range. Invariant: at most one verify of a site is under way.
 */
import { delay, SitelinkError } from '@sitelink/daemon'
import { isBlockdev } from '../blockdev/address.js'
import { mapped } from '../error-map.js'
import { primaryErrors } from '../errors.js'
import type { GroupAdmin } from '../group/group-admin.js'
import type { Group } from '../group/group.js'
import type { Slink } from '../slink/slink.js'
import type { Verifier } from './verifier.js'
import { VerifyRun, type NamedRange, type Unreadable, type VerifyCounts, type VerifyDevice } from './verify-run.js'

export interface VerifyWish {
  readonly slink: number
  /** Number of one device; null: all that are mapped. */
  readonly device: number | null
  /** Make the regions dirty in which something differs: they are copied then. */
  readonly mark: boolean
  /** How long to wait for a site that is not connected, in milliseconds. */
  readonly waitMs: number
}

export interface VerifyProgress {
  readonly doneBytes: number
  readonly totalBytes: number
  readonly differentBytes: number
}

export interface VerifyReport extends VerifyCounts {
  readonly slink: number
  readonly devices: readonly { readonly device: number; readonly name: string; readonly sizeBytes: number }[]
  /** False where it was stopped before everything was compared. */
  readonly complete: boolean
  /** Why it was stopped; null if it is complete, or its client went away. */
  readonly why: string | null
  readonly different: readonly NamedRange[]
  /** Differing bytes beyond those in `different`: there are too many ranges to name. */
  readonly notNamedBytes: number
  readonly unreadable: readonly (NamedRange & Unreadable)[]
  /** Regions that were made dirty. */
  readonly markedRegions: number
  /** Why what differs could not be marked, as a sentence; null if that was not asked for, or done. */
  readonly markProblem: string | null
}

/** How often progress is told, and a new session looked for. */
const PROGRESS_MS = 200

const underWay = new WeakSet<Slink>()

/** Rejects with a coded error where it cannot be done. `signal`: it is stopped; what was found until then still counts. */
export async function* verifySite(
  group: Group,
  admin: GroupAdmin,
  wish: VerifyWish,
  signal: AbortSignal,
): AsyncGenerator<VerifyProgress, VerifyReport, void> {
  const slink = admin.slink(wish.slink)
  if (slink.config.paused) throw primaryErrors.create('SLINK_PAUSED', { slink: wish.slink })
  if (isBlockdev(slink.config)) throw primaryErrors.create('VERIFY_BLOCKDEV', { slink: wish.slink })
  if (underWay.has(slink)) throw primaryErrors.create('VERIFY_BUSY', { slink: wish.slink })
  const run = new VerifyRun(devicesOf(slink, wish.device))
  let report: VerifyReport
  let why: string | null = null
  underWay.add(slink)
  try {
    why = yield* follow(group, admin, slink, run, wish.waitMs, signal)
  } finally {
    slink.stream?.verifier.detach()
    underWay.delete(slink)
    // Whoever goes away ends this generator where it stands: what was found is not lost with it.
    report = await end(group, admin, run, wish, why)
  }
  return report
}

/** Returns null, or why the rest could not be compared. Throws where nothing was compared at all. */
async function* follow(
  group: Group,
  admin: GroupAdmin,
  slink: Slink,
  run: VerifyRun,
  waitMs: number,
  signal: AbortSignal,
): AsyncGenerator<VerifyProgress, string | null, void> {
  const { clock } = group.parts
  let aloneSinceMs: number | null = null
  while (!signal.aborted) {
    // It was deleted meanwhile, perhaps made anew.
    if (admin.slink(slink.number) !== slink) throw primaryErrors.create('SLINK_UNKNOWN', { slink: slink.number })
    const verifier = slink.stream?.verifier ?? null
    if (verifier === null) {
      aloneSinceMs ??= clock.nowMs()
      if (clock.nowMs() - aloneSinceMs > waitMs) {
        const why = whyAlone(slink)
        // What was found in hours is not lost because a link is.
        if (run.doneBytes > 0) return why
        throw primaryErrors.create('VERIFY_UNREACHABLE', { slink: slink.number, why })
      }
    } else {
      aloneSinceMs = null
      begin(slink, verifier, run)
    }
    await delay(clock, PROGRESS_MS, signal)
    const { counts, doneBytes, totalBytes } = run
    yield { doneBytes, totalBytes, differentBytes: counts.differentBytes }
    if (doneBytes === totalBytes) return null
  }
  return null
}

function begin(slink: Slink, verifier: Verifier, run: VerifyRun): void {
  if (!verifier.supported) throw primaryErrors.create('VERIFY_AGENT_OLD', { slink: slink.number })
  verifier.attach(run)
}

function whyAlone(slink: Slink): string {
  const { state } = slink.link
  return state.kind === 'waiting' || state.kind === 'stopped' ? state.reason : `it is ${state.kind}`
}

async function end(
  group: Group,
  admin: GroupAdmin,
  run: VerifyRun,
  wish: VerifyWish,
  why: string | null,
): Promise<VerifyReport> {
  const { counts, different, unreadable, notNamedBytes, doneBytes, totalBytes, devices } = run
  const complete = doneBytes === totalBytes
  const { slink } = wish
  const { differentBytes, leftOutBytes, unreadableBytes } = counts
  const found = differentBytes === 0 ? 'no difference' : `${differentBytes} bytes in ranges that differ`
  const event = {
    kind: 'verify-finished',
    level: differentBytes === 0 ? 'info' : 'error',
    message: `the verify of slink ${slink} ${complete ? 'is over' : 'was stopped'}: ${found}`,
    facts: { slink, differentBytes, leftOutBytes, unreadableBytes },
  } as const
  // Told before it marks, which may fail.
  if (doneBytes > 0) group.parts.event(event)
  const marked =
    wish.mark && differentBytes > 0 ? await mark(admin, slink, run) : { markedRegions: 0, markProblem: null }
  return {
    slink,
    devices: devices.map(({ number, name, sizeBytes }) => ({ device: number, name, sizeBytes })),
    complete,
    why,
    ...counts,
    different,
    notNamedBytes,
    unreadable,
    ...marked,
  }
}

/** What keeps it from being done is part of what is reported: the ranges are not lost with it. */
async function mark(
  admin: GroupAdmin,
  slink: number,
  run: VerifyRun,
): Promise<Pick<VerifyReport, 'markedRegions' | 'markProblem'>> {
  try {
    return { markedRegions: await mapped(() => admin.markDifferent(slink, run)), markProblem: null }
  } catch (error) {
    if (!SitelinkError.is(error)) throw error
    return { markedRegions: 0, markProblem: error.message }
  }
}

function devicesOf(slink: Slink, device: number | null): VerifyDevice[] {
  const devices = [...slink.mappings]
    .filter(({ deviceNumber }) => device === null || deviceNumber === device)
    .map(({ deviceId, config, deviceNumber, deviceName, sizeBytes }) => ({
      deviceId,
      mappingId: config.mappingId,
      number: deviceNumber,
      name: deviceName,
      sizeBytes,
      regionBytes: config.regionBytes,
    }))
    .sort((a, b) => a.number - b.number)
  if (devices.length > 0) return devices
  const why = device === null ? 'it has no devices' : `device ${device} is not mapped to it`
  throw primaryErrors.create('VERIFY_NOTHING', { slink: slink.number, why })
}
