/**
 * Flips bits of a ring image, opens it, and holds what came to the place that was hit.
 *
 * Owns where the bits flip: nine in ten where something is written, so that a hundred thousand are not spent on bytes that
 * nobody reads; one in ten anywhere. Now and then a few flip at once, or a sector reads as zeros.
 */
import { checkLog } from '@sitelink/storage'
import type { Prng } from '@sitelink/storage/testing'
import { hold } from '../engine/target.js'
import type { FlipDisk } from '../worlds/flip-disk.js'
import type { RingImage } from '../worlds/ring-image.js'
import { placeAt, type Place, type PlaceKind, type Places } from './places.js'
import { judgeRing, openAndRead, type Verdict } from './ring-judge.js'

/** Places whose bytes are nowhere else: nothing may happen to them unreported. */
const ALONE: ReadonlySet<PlaceKind> = new Set(['entry', 'group header'])
/** Places that carry nothing of the present log. */
const EMPTY: ReadonlySet<PlaceKind> = new Set(['superblock slack', 'fill', 'old ring space'])
const SECTOR_BYTES = 512

function choose(places: Places, image: RingImage, prng: Prng): number {
  if (prng.chance(0.1)) return prng.below(image.bytes.length)
  const written: Place[] = places.list.filter(({ kind }) => !EMPTY.has(kind))
  const { from, to } = prng.pick(written)
  return prng.between(from, to - 1)
}

/** One flip, or a few; answers where, and what was reported. Puts the disk back. */
export async function flipRing(disk: FlipDisk, image: RingImage, places: Places, prng: Prng): Promise<string> {
  const flipped: number[] = []
  const zeroed = prng.chance(0.03)
  for (let left = prng.chance(0.95) ? 1 : prng.between(2, 5); left > 0; left--) {
    const at = choose(places, image, prng)
    flipped.push(at)
    if (zeroed) disk.poke(Buffer.alloc(SECTOR_BYTES), at - (at % SECTOR_BYTES))
    else disk.flip(at, prng.below(8))
  }
  const first = flipped[0] as number
  const { kind } = placeAt(places, first)
  const regions = kind === 'checkpoint' || prng.chance(0.05)
  // Copies and short cuts are not missed at an opening; who asks is told.
  const redundant = kind === 'superblock copy' || kind === 'checkpoint'
  const problems = redundant || prng.chance(0.02) ? (await checkLog(disk)).problems : null
  const many = zeroed || flipped.length > 1
  const verdict = judgeRing(await openAndRead(disk, image, { regions }), image, places, many)
  disk.restore()
  if (zeroed) return `a sector of zeros: ${verdict.kind}`
  if (flipped.length > 1) return `several: ${verdict.kind}`
  return `${kind}: ${holdToPlace(kind, verdict, problems?.length ?? null)}`
}

/** A single flip is reported by what must report it, and harmless only where it may be. */
function holdToPlace(kind: PlaceKind, verdict: Verdict, problems: number | null): string {
  hold(verdict.kind !== 'refused', 'one flipped bit never costs the log')
  if (verdict.kind !== 'nothing lost') return verdict.kind
  hold(!ALONE.has(kind), `a flip in an ${kind} was reported by nobody`)
  if (EMPTY.has(kind)) return 'harmless, it carries nothing'
  hold(problems !== null && problems > 0, `log check does not report a flip in a ${kind}`)
  return 'nothing lost, reported by log check'
}
