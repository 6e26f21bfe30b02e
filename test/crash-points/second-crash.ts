/**
 * Picks states of a recorded trace from which a second life is to begin, so that it can be traced and killed as well.
 *
 * Owns the selection only: of all moments and a few states at each, so many as are asked for, spread evenly, half of them
 * after a kill. A state is
 * what a power cut left, all of it durable, or what a kill left, with everything unsynced still unsynced.
 */
import type { FaultDiskProvider, HostTrace } from '@sitelink/storage/testing'
import { choicesOf } from './choices.js'
import type { Death } from './crash-points.js'
import { HostStates } from './host-states.js'

/** Few states at each moment: the second life multiplies them. */
const FEW = { allMax: 8, areaMax: 4, placesMax: 2, writesMax: 1, sampleCount: 1 }

export interface FirstCrash {
  /** Events that had happened. */
  readonly count: number
  readonly death: Death
  /** The disks that the second life finds. */
  readonly disks: FaultDiskProvider
}

export function firstCrashes(trace: HostTrace, max: number): FirstCrash[] {
  const found: FirstCrash[] = []
  const states = new HostStates(trace)
  const prints = new Set<string>()
  for (;;) {
    const { count } = states
    const slots = states.slots()
    for (const choice of choicesOf(slots, FEW)) {
      const print = states.print(slots, choice)
      if (prints.has(print)) continue
      prints.add(print)
      // The walk goes on and changes the states: the disks are made now.
      const disks = states.afterPowerCut(slots, choice)
      found.push({ count, death: 'power-cut', disks })
    }
    const isWrite = count > 0 && trace.events[count - 1]?.kind === 'change'
    if (isWrite) {
      const disks = states.afterKill()
      found.push({ count, death: 'kill', disks })
    }
    if (states.isOver) break
    states.step()
  }
  const kills = found.filter(({ death }) => death === 'kill')
  const cuts = found.filter(({ death }) => death === 'power-cut')
  return [...evenly(kills, Math.ceil(max / 2)), ...evenly(cuts, Math.floor(max / 2))]
}

function evenly<T>(all: readonly T[], max: number): T[] {
  const step = Math.max(1, all.length / max)
  return Array.from({ length: Math.min(max, all.length) }, (_, at) => all[Math.floor(at * step)] as T)
}
