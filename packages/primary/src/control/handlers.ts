/**
 * The control API of a running group: each verb checks its body and calls the group. No logic of its own.
 */
import { delay, type ControlServer, type EventLog } from '@sitelink/daemon'
import { refusePathInUse } from '../admin/path-in-use.js'
import { probeDevice } from '../admin/probe.js'
import { bodyOf, deviceNumberOf, deviceWish, flagOf, integerOf, mapWish, slinkNumberOf } from '../admin/wishes.js'
import { mapped } from '../error-map.js'
import { primaryErrors } from '../errors.js'
import type { GroupAdmin } from '../group/group-admin.js'
import type { Group } from '../group/group.js'
import { groupStatus } from '../group/status.js'
import type { AgentLinks } from '../trust/agent-links.js'
import { addedSlink, changedSlink } from '../trust/slink-wishes.js'
import { linkMetrics } from './link-metrics.js'
import { registerDmVerbs } from './dm-verbs.js'
import { registerLogVerbs } from './log-verbs.js'
import { registerVerifyVerb } from './verify-verb.js'

/** How often streams of progress look. */
const PROGRESS_MS = 200

export interface ControlParts {
  readonly group: Group
  readonly admin: GroupAdmin
  readonly links: AgentLinks
  readonly events: EventLog
}

/** Registers every verb. */
export function registerVerbs(server: ControlServer, parts: ControlParts): void {
  const { group, admin, links, events } = parts
  const done = async (work: Promise<unknown>): Promise<{ ok: true }> => {
    await work
    return { ok: true }
  }
  const verb = (name: string, run: (body: unknown) => unknown): void => {
    server.verb(name, (body) => mapped(() => run(body)))
  }
  verb('status', () => ({
    ...groupStatus(group),
    process: processStatus(),
    events: events.read(Math.max(0, events.lastSeq - 20)).events,
  }))
  verb('device-add', async (body) => {
    const wish = deviceWish(body)
    // First: what this very process holds would be said to be held by another.
    await refusePathInUse(group.parts, group.config, wish.path)
    const sizeBytes = await probeDevice(group.parts.disks, wish.path)
    return done(admin.addDevice({ ...wish, sizeBytes }))
  })
  verb('device-del', (body) => {
    const fields = bodyOf(body, ['device', 'unmap'])
    return done(admin.deleteDevice(deviceNumberOf(fields), flagOf(fields, 'unmap')))
  })
  verb('device-map', (body) => done(admin.map(mapWish(body, group.parts.random.bytes(8).toString('hex')))))
  verb('device-unmap', (body) => {
    const fields = bodyOf(body, ['device', 'slink'])
    return done(admin.unmap(deviceNumberOf(fields), slinkNumberOf(fields)))
  })
  verb('slink-add', async (body) => done(admin.addSlink(await addedSlink(links, group.config, body))))
  verb('slink-set', async (body) => {
    const { number, change } = await changedSlink(links, group.config, body)
    return done(admin.changeSlink(number, change))
  })
  verb('slink-del', async (body) => {
    const fields = bodyOf(body, ['slink', 'unmap'])
    await admin.deleteSlink(slinkNumberOf(fields), flagOf(fields, 'unmap'))
    return done(links.forget(slinkNumberOf(fields)))
  })
  verb('slink-drop', async (body) => ({
    dropped: await admin.dropSite(slinkNumberOf(bodyOf(body, ['slink']))),
  }))
  verb('suspend', (body) => done(admin.suspend(optionalDevice(body))))
  verb('resume', (body) => done(admin.resume(optionalDevice(body))))
  registerLogVerbs(server, group, admin)
  registerDmVerbs(server, group, admin, () => links.pins)
  server.page('/metrics', 'text/plain; version=0.0.4', () => linkMetrics(groupStatus(group)))
  server.stream('resync', (body, { signal }) => resync(parts, body, signal))
  registerVerifyVerb(server, group, admin)
  server.stream('drain', (body, { signal }) => drain(parts, body, signal))
  server.stream('events', async function* (body, { signal }) {
    const fields = bodyOf(body, ['afterSeq', 'follow'])
    const after = 'afterSeq' in fields ? integerOf(fields, 'afterSeq', 0, Number.MAX_SAFE_INTEGER) : 0
    if (!flagOf(fields, 'follow')) {
      yield events.read(after)
      return null
    }
    yield* events.watch(after, signal)
    return null
  })
}

/** The daemon's own process. */
export function processStatus() {
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
  return {
    pid: process.pid,
    uptimeSeconds: process.uptime(),
    rssBytes: rss,
    heapUsedBytes: heapUsed,
    externalBytes: external,
    arrayBufferBytes: arrayBuffers,
  }
}

function optionalDevice(body: unknown): number | null {
  const fields = bodyOf(body, ['device'])
  return (fields['device'] ?? null) === null ? null : deviceNumberOf(fields)
}

/** Yields progress until nothing is dirty any more. Ends with an error if the site cannot be reached for a while. */
async function* resync(
  { admin, group }: ControlParts,
  body: unknown,
  signal: AbortSignal,
): AsyncGenerator<unknown, unknown, void> {
  const fields = bodyOf(body, ['slink', 'full', 'waitMs'])
  const number = slinkNumberOf(fields)
  const waitMs = 'waitMs' in fields ? integerOf(fields, 'waitMs', 0, 3_600_000) : 10_000
  const { clock } = group.parts
  const begun = await mapped(() => admin.resync(number, flagOf(fields, 'full')))
  if (!begun.running) return { ran: false, copiedBytes: 0 }
  let copiedBytes = 0
  let aloneSinceMs: number | null = null
  while (!signal.aborted) {
    const slink = admin.slink(number)
    const progress = admin.resyncProgress(number)
    if (progress === null && slink.standing.kind === 'log') return { ran: true, copiedBytes }
    if (progress !== null && progress.running) {
      aloneSinceMs = null
      copiedBytes = Math.max(copiedBytes, progress.totalBytes)
      yield progress
    } else {
      aloneSinceMs ??= clock.nowMs()
      if (clock.nowMs() - aloneSinceMs > waitMs) {
        const state = slink.link.state
        const why = state.kind === 'waiting' || state.kind === 'stopped' ? state.reason : `it is ${state.kind}`
        throw primaryErrors.create('RESYNC_UNREACHABLE', { slink: number, why })
      }
    }
    await delay(clock, PROGRESS_MS)
  }
  return { ran: true, copiedBytes }
}

/** Waits until everything written so far is applied here and at every site that is not paused. */
async function* drain(
  { admin, group }: ControlParts,
  body: unknown,
  signal: AbortSignal,
): AsyncGenerator<unknown, unknown, void> {
  const fields = bodyOf(body, ['timeoutMs'])
  const timeoutMs = 'timeoutMs' in fields ? integerOf(fields, 'timeoutMs', 0, Number.MAX_SAFE_INTEGER) : Infinity
  const { clock } = group.parts
  const lsn = group.writePath.lastLsn
  const endMs = clock.nowMs() + timeoutMs
  while (!signal.aborted) {
    const { done, waitsFor } = admin.drained(lsn)
    if (done) return { lsn, skipped: pausedSlinks(group) }
    if (clock.nowMs() >= endMs)
      throw primaryErrors.create('DRAIN_TIMEOUT', { ms: timeoutMs, why: `it waits for ${waitsFor}` })
    yield {
      waitsFor,
      slinks: groupStatus(group).slinks.map(({ number, lagBytes, lagWrites }) => ({ number, lagBytes, lagWrites })),
    }
    await delay(clock, PROGRESS_MS)
  }
  return { lsn, skipped: pausedSlinks(group) }
}

/** Sites with devices that a drain does not wait for. */
function pausedSlinks(group: Group): number[] {
  return [...group.slinks.values()]
    .filter(({ config, mappings }) => config.paused && mappings.size > 0)
    .map(({ number }) => number)
    .sort((a, b) => a - b)
}
