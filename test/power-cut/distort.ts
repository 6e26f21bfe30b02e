/**
 * Canaries: images with a fault in their write order, which a filesystem's tools and the known files must not call good.
 *
 * Each image shows the history up to a moment at which something had just been promised, but for one fault. A fault need
 * not be visible in every image (the lost bytes may be written again, or be nobody's), only in some.
 */
import type { Prng } from '@sitelink/storage/testing'
import { judge, JUDGES } from './filesystem.js'
import type { Image, Images } from './image.js'
import type { Recording } from './recording.js'
import { KNOWN_FILES } from './workload.js'

/** How many images are made of a kind of fault: a fixed number, so that what is demanded of them is, too. */
export const SAMPLE = 12

/** Makes an image of the history up to `lsn`; what is before `safeLsn` was promised earlier. */
export type Distortion = (recording: Recording, safeLsn: number, lsn: number, prng: Prng) => Images

/** No fault: what the others are held against. */
export const none: Distortion = ({ pair }, _, lsn) => pair.history.at(lsn)

/** One entry that a flush covers is missing, while later ones are there. */
export const lost: Distortion = ({ pair }, safeLsn, lsn, prng) => {
  const missing = prng.below(lsn - safeLsn)
  return pair.history.from(safeLsn, lsn, (frames) => frames.toSpliced(missing, 1))
}

/** Two entries in the wrong order, seen between them: the later one is there, the earlier one is not. */
export const swapped: Distortion = ({ pair }, safeLsn, lsn, prng) => {
  const earlier = prng.below(Math.max(1, lsn - safeLsn - 2))
  return pair.history.from(safeLsn, lsn, (frames) => {
    const later = prng.between(Math.min(earlier + 2, frames.length - 1), frames.length - 1)
    return [...frames.slice(0, earlier), ...frames.slice(later, later + 1), ...frames.slice(earlier + 1, later)]
  })
}

/**
 * Devices that are each a prefix, but of different lengths: the one with this id lacks many of the newest entries. Half of
 * them are seen at the very end, when the filesystem had been unmounted and its journal was empty.
 */
export const behind =
  (deviceId: number): Distortion =>
  ({ pair, madeLsn }, _, lsn, prng) => {
    const end = prng.chance(0.5) ? pair.history.lastLsn : lsn
    const early = pair.history.at(prng.between(madeLsn, Math.max(madeLsn, end - 20)))
    const images = [...pair.history.at(end)]
    return new Map(images.map(([id, image]) => [id, id === deviceId ? (early.get(id) as Image) : image]))
  }

/** In how many of the sampled images a fault is seen. */
export async function caught(recording: Recording, distortion: Distortion, prng: Prng): Promise<number> {
  const moments = promises(recording)
  const samples = Array.from({ length: SAMPLE }, () => prng.pick(moments))
  let count = 0
  const take = async (): Promise<void> => {
    for (let next = samples.shift(); next !== undefined; next = samples.shift()) {
      const [safeLsn, lsn] = next
      const images = distortion(recording, safeLsn, lsn, prng)
      const wrong = await judge(recording.options.kind, images, recording.owedBy(lsn))
      if (wrong.length > 0) count++
    }
  }
  await Promise.all(Array.from({ length: JUDGES }, take))
  return count
}

/** LSNs at which a known file was promised, each with that of the promise before; with several entries between them. */
function promises({ pair, madeLsn }: Recording): [safeLsn: number, lsn: number][] {
  const files = [...pair.trace.marks()].filter(({ label }) => KNOWN_FILES.includes(label))
  const lsns = [madeLsn, ...files.map(({ lsn }) => lsn)]
  return lsns.flatMap((lsn, at) => {
    const before = lsns[at - 1]
    return before !== undefined && lsn - before >= 3 ? [[before, lsn] as [number, number]] : []
  })
}
