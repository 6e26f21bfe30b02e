/**
 * How the state of the journal is said on the wire, and what a new life of the primary makes void in it.
 *
 * Reads the journal's marks and the table of lives; decides nothing else. Invariant: what is said as durable or applied is
 * so, rounded down where it is not known exactly.
 */
import {
  LogHistory,
  type Hello,
  type LogPoint,
  type WireIncarnation,
  type WireMark,
  type WirePoint,
  type WireReplica,
} from '@sitelink/protocol'
import type { Journal } from '../journal/journal.js'
import type { Mark } from '../journal/marks.js'
import type { ReplicaState } from './replica-state.js'

/** Names no life: a journal that holds nothing. */
const NO_INCARNATION = '0'.repeat(16)

/**
 * What welcome says of the replica; null where this agent has never replicated, gave its journal up, or cannot apply it to
 * its end: nothing of it may be built upon then.
 */
export function wireReplica(journal: Journal, { logId, incarnations, allDirty }: ReplicaState): WireReplica | null {
  if (logId === null || allDirty !== null) return null
  const { received, durable, applied, told, stamp } = journal
  return {
    logId,
    incarnationId: incarnations.find((one) => one.number === received.incarnation)?.id ?? NO_INCARNATION,
    end: wirePointOf(received),
    endCrc: received.crc,
    durable: wirePointOf(durable),
    applied: wirePointOf(applied),
    primaryDurable: wirePointOf(told),
    stamp: wirePointOf(stamp),
  }
}

export function wireMark({ incarnation, lsn, frames }: Mark): WireMark {
  return [incarnation, lsn, frames]
}

/**
 * Copies that a life of the primary read from a tail that it lost afterwards can never be true: they are not applied,
 * and their stamps do not count. `history`: the lives as they were known before this hello.
 */
export function voidCopies(journal: Journal, history: readonly WireIncarnation[], hello: Hello): void {
  const last = history.at(-1)
  if (last === undefined || last.number === hello.head[0]) return
  const table = new LogHistory(hello.incarnations, { incarnation: hello.head[0], lsn: hello.head[1] })
  if (!table.has(last.number, last.id)) return
  const endLsn = table.endOf(last.number)
  if (journal.stamp.lsn <= endLsn) return
  journal.addVoid({ below: journal.received.end, stampAbove: endLsn })
  journal.clampStamp(table.normal({ incarnation: last.number, lsn: endLsn }))
}

function wirePointOf({ incarnation, lsn }: LogPoint): WirePoint {
  return [incarnation, lsn]
}
