/**
 * How write-back empties a journal of so many bytes. Pure.
 */
import { ringLimits, WRITE_BACK_LIMITS, type WriteBackLimits } from '@sitelink/storage'
import type { AgentLimits } from '../limits.js'

/**
 * The lag is bounded by the journal alone: behind what waits for a device that is not there may lie the frame that
 * unmaps it. And nothing is put off, for no writer waits for an answer of an agent's devices.
 */
export function devicePace(ringBytes: number, { writeBackBytesMax }: AgentLimits): Partial<WriteBackLimits> {
  const { lagBytesMax } = WRITE_BACK_LIMITS
  const limits = ringLimits(ringBytes)
  // Who waits for memory waits until a layer that is closed gives some back.
  const layerBytes = Math.min(limits.layerBytes, Math.ceil(writeBackBytesMax / 2))
  return { ...limits, layerBytes, lagBytesMax, putOffBytesMax: 0, memoryBytesMax: writeBackBytesMax }
}
