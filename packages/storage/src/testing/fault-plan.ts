/**
 * Which operations are to fail or to be slow: the faults that a test injected into a simulated disk.
 *
 * Owns the list and the counting. Does nothing by itself; the disk asks it once an operation.
 */
import { assert } from '@sitelink/protocol/entry'
import type { Prng } from './prng.js'

export type DiskOperation = 'read' | 'write' | 'sync' | 'discard' | 'writeZeroes' | 'resize'

/** A fault to come. Without `probability` it strikes the first `count` matching operations after `skip` others. */
export interface DiskFault {
  readonly on: DiskOperation
  /** What it rejects with; absent: it only delays. */
  readonly error?: 'EIO' | 'ENOSPC'
  /** Milliseconds that it takes longer; needs a clock. */
  readonly delayMs?: number
  /** Matching operations to let pass first. Default 0. */
  readonly skip?: number
  /** Operations to strike. Default 1, with a probability no end; Infinity for a broken disk. */
  readonly count?: number
  /** Strike each matching operation with this probability. */
  readonly probability?: number
  /** Only operations that touch this range (not for sync). */
  readonly range?: { readonly offset: number; readonly length: number }
  /** What of a failed write, or of what a failed sync covered, happens all the same. Default random. */
  readonly keep?: 'all' | 'none' | 'random'
}

/** A fault that was injected. */
export interface InjectedFault {
  readonly fault: DiskFault
  /** Operations that it struck so far. */
  readonly hits: number
  /** It strikes no more. */
  remove(): void
}

const FAULTS_MAX = 1000

class Waiting implements InjectedFault {
  skip: number
  left: number
  hits = 0

  constructor(readonly fault: DiskFault) {
    this.skip = fault.skip ?? 0
    this.left = fault.count ?? (fault.probability === undefined ? 1 : Number.POSITIVE_INFINITY)
  }

  remove(): void {
    this.left = 0
  }
}

export class FaultPlan {
  #waiting: Waiting[] = []

  inject(fault: DiskFault): InjectedFault {
    this.#waiting = this.#waiting.filter(({ left }) => left > 0)
    assert(this.#waiting.length < FAULTS_MAX, 'faults are removed when they are over')
    const waiting = new Waiting(fault)
    this.#waiting.push(waiting)
    return waiting
  }

  /** No fault that was injected strikes any more. */
  clear(): void {
    for (const waiting of this.#waiting.splice(0)) waiting.remove()
  }

  /** The fault that strikes this operation, the oldest that matches, or null. */
  strike(kind: DiskOperation, offset: number, length: number, prng: Prng): DiskFault | null {
    for (const waiting of this.#waiting) {
      const { fault } = waiting
      if (fault.on !== kind || waiting.left <= 0 || !touches(fault, offset, length)) continue
      if (waiting.skip > 0) {
        waiting.skip--
        continue
      }
      if (fault.probability !== undefined && !prng.chance(fault.probability)) continue
      waiting.left--
      waiting.hits++
      return fault
    }
    return null
  }
}

function touches({ range }: DiskFault, offset: number, length: number): boolean {
  return range === undefined || (offset < range.offset + range.length && offset + length > range.offset)
}
