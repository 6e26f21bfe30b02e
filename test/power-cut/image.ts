/**
 * Images: what whole devices hold, as sparse bytes; made from frames, compared, written to files.
 *
 * Owns no device. Chunks of zeros and absent chunks are the same to it, in comparisons as in files.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { FrameType, type Frame } from '@sitelink/protocol'
import { SPARSE_CHUNK_BYTES, type SparseBytes } from '@sitelink/storage/testing'

export interface Image {
  readonly sizeBytes: number
  readonly bytes: SparseBytes
}

/** The images of a group's devices, by device id. */
export type Images = ReadonlyMap<number, Image>

const ZEROES = Buffer.alloc(SPARSE_CHUNK_BYTES)

/** Where two devices differ, as a sentence; null if they hold the same bytes. */
function differenceOf(found: Image, wanted: Image): string | null {
  if (found.sizeBytes !== wanted.sizeBytes) return `it has ${found.sizeBytes} bytes, not ${wanted.sizeBytes}`
  const at = found.bytes.firstDifference(wanted.bytes, found.sizeBytes)
  return at === -1 ? null : `it differs at ${at}`
}

/** Where the devices of a group differ from what they should be, as sentences. */
export function differences(found: Images, wanted: Images): string[] {
  const ids = [...new Set([...found.keys(), ...wanted.keys()])]
  return ids.flatMap((id) => {
    const [one, other] = [found.get(id), wanted.get(id)]
    const difference = one === undefined || other === undefined ? 'it is missing' : differenceOf(one, other)
    return difference === null ? [] : [`device id ${id}: ${difference}`]
  })
}

/** Makes a file of it, with holes. */
export function writeImage(image: Image, path: string): void {
  const file = openSync(path, 'w')
  try {
    ftruncateSync(file, image.sizeBytes)
    for (const { offset, bytes } of image.bytes.present()) {
      const length = Math.min(bytes.length, image.sizeBytes - offset)
      if (!bytes.equals(ZEROES)) writeSync(file, bytes, 0, length, offset)
    }
  } finally {
    closeSync(file)
  }
}

/** Does to the images what a frame of the log or of a journal says. */
export function layOver(images: Images, frame: Frame): void {
  const bytes = images.get(frame.deviceId)?.bytes
  switch (frame.type) {
    case FrameType.write:
    case FrameType.copy:
      if (frame.payload !== null) bytes?.write(frame.payload, frame.offset)
      return
    case FrameType.zeroes:
    case FrameType.trim:
    case FrameType.copyZeroes:
      bytes?.zero(frame.offset, frame.length)
      return
    default:
  }
}

export function cloneImages(images: Images): Map<number, Image> {
  return new Map([...images].map(([id, { sizeBytes, bytes }]) => [id, { sizeBytes, bytes: bytes.clone() }]))
}
