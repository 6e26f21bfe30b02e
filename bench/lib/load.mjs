/**
 * Writes over NBD for verbs that need bytes in a log, not a measure of how fast they got there.
 *
 * Owns its connection. The bytes are noise that differs from write to write, so that nothing is merged, found to be zeros
 * or equal to what was there. Requests are under way together, up to a depth.
 */
import { compiled } from './compiled.mjs'

const NOISE_BYTES = 4 * 1024 * 1024
const STEP_BYTES = 512

let noise = null

function noiseBytes() {
  if (noise !== null) return noise
  noise = Buffer.allocUnsafe(NOISE_BYTES)
  for (let at = 0, state = 0x2545f491; at < NOISE_BYTES; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    noise.writeUInt32LE((state | 1) >>> 0, at)
  }
  return noise
}

/** A connection to an export of the primary. */
export async function connectTo(pair, name) {
  const { NbdClient } = await compiled()
  return NbdClient.connect({ path: pair.nbdSocket }, { export: name })
}

/** Offsets of whole blocks, scattered over a device, the same in every run with the same seed. */
export function scattered(deviceBytes, blockBytes, seed = 1) {
  const blocks = Math.floor(deviceBytes / blockBytes)
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * blocks) * blockBytes
  }
}

/**
 * Writes `bytes` in blocks, at the offsets that `nextOffset` answers, or until `enough` answers true. Answers how many
 * bytes were written; every write was answered then.
 */
export async function writeBlocks(client, { bytes, blockBytes, nextOffset, depth = 16, enough = () => false }) {
  const source = noiseBytes()
  const starts = Math.floor((NOISE_BYTES - blockBytes) / STEP_BYTES)
  let taken = 0
  const worker = async () => {
    while (taken + blockBytes <= bytes && !enough()) {
      const start = ((taken / blockBytes) % starts) * STEP_BYTES
      taken += blockBytes
      await client.write(nextOffset(), source.subarray(start, start + blockBytes))
    }
  }
  await Promise.all(Array.from({ length: depth }, worker))
  return taken
}
