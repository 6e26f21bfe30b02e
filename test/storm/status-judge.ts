/**
 * What a status may never say: a negative count, an order of marks that cannot be, a counter that falls within one life of
 * a daemon, or, when everybody runs and nothing is written, that anything is left to do.
 *
 * Pure functions of reports; each answers sentences, none if all is well. Nothing here knows how a report was had.
 */
import { type AgentStatus, isInStep, type PrimaryStatus } from '../support/status-shape.js'

export type Report = Readonly<Record<string, unknown>>

/** Numbers that may be below zero: clocks differ in both directions. */
const SIGNED = /clockOffsetUs$/
/** Facts of events belong to the event. */
const NOT_COUNTS = /^events\b/

/** Counters of a life of the primary, and of an agent, by path. */
const RISING = {
  primary: [
    'log.lastLsn',
    'log.writtenLsn',
    'log.durableLsn',
    'log.groupsWritten',
    'log.entriesWritten',
    'log.bytesWritten',
    'log.syncs',
    'log.superblockWrites',
    'log.wraps',
    'log.stalls',
    'local.appliedLsn',
    'local.writtenBytes',
    'local.deviceSyncs',
  ],
  agent: [
    'counters.connections',
    'counters.sessionsEstablished',
    'counters.sessionsRefused',
    'counters.sessionsFenced',
  ],
} as const

/** Every number of a report with its path. */
function* numbers(value: unknown, path = ''): Generator<readonly [string, number]> {
  if (typeof value === 'number') yield [path, value]
  else if (value !== null && typeof value === 'object') {
    for (const [key, each] of Object.entries(value)) yield* numbers(each, path === '' ? key : `${path}.${key}`)
  }
}

/** Numbers that are no counts. */
export function negatives(report: Report): string[] {
  return [...numbers(report)]
    .filter(([path, value]) => !NOT_COUNTS.test(path) && !(value >= 0 || (SIGNED.test(path) && Number.isFinite(value))))
    .map(([path, value]) => `${path} is ${value}`)
}

/** Marks that have overtaken each other. */
export function disorders(status: PrimaryStatus): string[] {
  const { log } = status as PrimaryStatus & { log: { writtenLsn: number; ringBytes: number } }
  const chains: (readonly (readonly [string, unknown])[])[] = [
    [
      ['log.durableLsn', log.durableLsn],
      ['log.writtenLsn', log.writtenLsn],
      ['log.lastLsn', log.lastLsn],
    ],
    [
      ['log.usedBytes', log.usedBytes],
      ['log.ringBytes', log.ringBytes],
      ['log.sizeBytes', log.sizeBytes],
    ],
  ]
  for (const slink of status.slinks) {
    const marks = slink as typeof slink & { durableLsn: number; receivedLsn: number }
    const of = `slink ${slink.number}`
    chains.push([
      [`${of} durableLsn`, marks.durableLsn],
      [`${of} receivedLsn`, marks.receivedLsn],
      ['log.lastLsn', log.lastLsn],
    ])
    chains.push([
      [`${of} dirtyRegions`, slink.dirtyRegions],
      [`${of} totalRegions`, slink.totalRegions],
    ])
  }
  return chains.flatMap((chain) =>
    chain.slice(1).flatMap(([name, value], at) => {
      const [before, lower] = chain[at] ?? ['', 0]
      return Number(lower) <= Number(value) ? [] : [`${before} is ${String(lower)}, ${name} is ${String(value)}`]
    }),
  )
}

/** Counters that fell between two reports of one life. */
export function fallen(role: keyof typeof RISING, before: Report, after: Report): string[] {
  return RISING[role].flatMap((path) => {
    const [one, other] = [at(before, path), at(after, path)]
    return Number(other) < Number(one) ? [`${path} fell from ${String(one)} to ${String(other)}`] : []
  })
}

/** What a primary at rest, with everybody there, may not report any more. */
export function unrest(status: PrimaryStatus): string[] {
  const report = status as unknown as Report
  const zeros = ['group.waitingRequests', 'group.heldRequests', 'local.lostRanges'] as const
  const found = zeros.flatMap((path) => (at(report, path) === 0 ? [] : [`${path} is ${String(at(report, path))}`]))
  if (status.group.state !== 'running') found.push(`group.state is ${status.group.state}`)
  if (status.log.durableLsn !== status.log.lastLsn)
    found.push(`log.durableLsn is ${status.log.durableLsn} of ${status.log.lastLsn}`)
  for (const slink of status.slinks) {
    const { lagSeconds, failing, mode } = slink as typeof slink & Report
    if (!isInStep(slink))
      found.push(`slink ${slink.number} is not in step: ${JSON.stringify({ ...slink, devices: 0 })}`)
    if (lagSeconds !== 0) found.push(`slink ${slink.number} lagSeconds is ${String(lagSeconds)}`)
    if (failing !== false) found.push(`slink ${slink.number} fails writers`)
    if (mode === 'sync' && slink.protected !== true) found.push(`slink ${slink.number} is not protected`)
  }
  return found
}

/** The same for an agent. */
export function agentUnrest(status: AgentStatus, lastLsn: number): string[] {
  const { replica, session } = status as AgentStatus & { session: { queuedBytes: number | null }; broken: unknown }
  if (replica === null) return ['there is no replica']
  const { lagEntries, lagBytes } = replica as typeof replica & Report
  const found: string[] = []
  if (status.session.connected !== true) found.push('no session')
  if (replica.consistent !== true) found.push('replica.consistent is false')
  if (replica.dirtyRegions !== 0) found.push(`replica.dirtyRegions is ${replica.dirtyRegions}`)
  if (Number(replica.appliedLsn) < lastLsn) found.push(`replica.appliedLsn is ${replica.appliedLsn} of ${lastLsn}`)
  if (lagEntries !== 0 || lagBytes !== 0)
    found.push(`replica lags ${String(lagEntries)} entries, ${String(lagBytes)} bytes`)
  if ((session.queuedBytes ?? 0) !== 0) found.push(`session.queuedBytes is ${session.queuedBytes}`)
  return found
}

function at(report: Report, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (value as Report | undefined)?.[key], report)
}
