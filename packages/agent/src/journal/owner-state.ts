/**
 * The agent's part of the journal's superblock: how far it is, and what it was told.
 *
 * Pure encode and decode. JSON, because it is written a few times a second at most and is read by people with
 * `sitelink-agent log check`; the superblock's CRC covers it. Invariant: what it says is true of everything that the
 * journal has given back, so that a restart needs nothing else.
 */
import { ORIGIN, type LogPoint, type LogPosition, type Lsn } from '@sitelink/protocol'
import type { VoidCopies } from '../apply/apply-limit.js'

export interface OwnerState {
  /** Which ring this is: `ringId` of replica.json. */
  readonly ringId: string
  /** Everything below is on the devices, durably. */
  readonly appliedPosition: LogPosition
  readonly applied: LogPoint
  /** Header CRC of the entry at `applied`; 0 where it is not known. */
  readonly appliedCrc: number
  /** Highest point that the primary said it has durably. */
  readonly told: LogPoint
  /** Largest stamp of a copy that came in, as a point. */
  readonly stamp: LogPoint
  readonly voids: readonly VoidCopies[]
}

export const OWNER_STATE_VERSION = 1

/** A journal that has taken nothing yet. */
export const OWNER_STATE_FIRST: Omit<OwnerState, 'ringId'> = {
  appliedPosition: 0,
  applied: ORIGIN,
  appliedCrc: 0,
  told: ORIGIN,
  stamp: ORIGIN,
  voids: [],
}

type WirePair = readonly [number, number]

export function encodeOwnerState(state: OwnerState): Buffer {
  const pair = (point: LogPoint): WirePair => [point.incarnation, point.lsn]
  return Buffer.from(
    JSON.stringify({
      version: OWNER_STATE_VERSION,
      ringId: state.ringId,
      appliedPosition: state.appliedPosition,
      applied: pair(state.applied),
      appliedCrc: state.appliedCrc,
      told: pair(state.told),
      stamp: pair(state.stamp),
      voids: state.voids.map((one) => [one.below, one.stampAbove]),
    }),
  )
}

/** What {@link encodeOwnerState} wrote; null for anything else. */
export function decodeOwnerState(bytes: Buffer): OwnerState | null {
  let value: Record<string, unknown> | null
  try {
    value = JSON.parse(bytes.toString('utf8')) as Record<string, unknown> | null
  } catch {
    return null
  }
  if (value === null || value['version'] !== OWNER_STATE_VERSION) return null
  const { ringId, appliedPosition, appliedCrc } = value
  const applied = pointOf(value['applied'])
  const told = pointOf(value['told'])
  const stamp = pointOf(value['stamp'])
  const voids = pairsOf(value['voids'])
  if (
    typeof ringId !== 'string' ||
    !isCount(appliedPosition) ||
    !isCount(appliedCrc) ||
    applied === null ||
    told === null ||
    stamp === null ||
    voids === null
  )
    return null
  return {
    ringId,
    appliedPosition,
    applied,
    appliedCrc,
    told,
    stamp,
    voids: voids.map(([below, stampAbove]) => ({ below, stampAbove: stampAbove as Lsn })),
  }
}

function isCount(value: unknown): value is number {
  // JSON knows a zero below zero.
  return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0)
}

function isPair(value: unknown): value is WirePair {
  return Array.isArray(value) && value.length === 2 && value.every(isCount)
}

function pointOf(value: unknown): LogPoint | null {
  return isPair(value) ? { incarnation: value[0], lsn: value[1] } : null
}

function pairsOf(value: unknown): readonly WirePair[] | null {
  return Array.isArray(value) && value.every(isPair) ? value : null
}
