/**
 * The entry scanner (`scanFrame`): a run of bytes, classified one frame after the other.
 *
 * Held to: what is an entry encodes again to the very bytes, and both its CRCs are true by another CRC than the product's;
 * what is refused as torn or corrupt really is; `need-more` names bytes without which nothing can be said.
 */
import { crc32 } from 'node:zlib'
import {
  encodeFrame,
  FRAME_PAYLOAD_BYTES_MAX,
  headerLogId,
  headerPreviousCrc,
  scanFrame,
  type Scan,
} from '@sitelink/protocol/entry'
import { hold, type Target } from '../engine/target.js'
import { goldenVectors, HEADER_BYTES, mutateFrames, repairStream } from './frame-bytes.js'

function checkEntry(scan: Extract<Scan, { kind: 'entry' }>, bytes: Buffer, at: number): void {
  const { frame, next } = scan
  const there = bytes.subarray(at, next)
  hold(frame.header.equals(there.subarray(0, HEADER_BYTES)), 'the header is the bytes that stand there')
  hold(
    (frame.payload ?? Buffer.alloc(0)).equals(there.subarray(HEADER_BYTES)),
    'the payload is the bytes that stand there',
  )
  const payloadCrc = there.length === HEADER_BYTES ? 0 : crc32(there.subarray(HEADER_BYTES))
  hold(there.readUInt32LE(84) === payloadCrc, 'the CRC of the payload is true')
  hold(there.readUInt32LE(92) === crc32(there.subarray(0, 92)), 'the CRC of the header is true')
  const again = encodeFrame(
    { ...frame, logId: headerLogId(frame.header), previousCrc: headerPreviousCrc(frame.header) },
    frame.payload,
  )
  hold(again.header.equals(frame.header), 'what was decoded encodes to the same header')
}

function checkRefusal(scan: Scan, bytes: Buffer, at: number): void {
  const left = bytes.subarray(at)
  switch (scan.kind) {
    case 'need-more':
      hold(
        scan.bytes > 0 && scan.bytes <= HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX,
        'need-more names bytes within the limit',
      )
      return
    case 'end':
      hold(left.length === 0 || left.readUInt32LE(0) === 0, 'an end is no bytes or zero fill')
      return
    case 'too-large':
      hold(scan.bytes > FRAME_PAYLOAD_BYTES_MAX, 'what is too large is larger than the limit')
      return
    case 'torn':
      if (scan.why === 'header-crc')
        hold(left.readUInt32LE(92) !== crc32(left.subarray(0, 92)), 'a torn header does not check')
      else hold(left.toString('latin1', 0, 4) !== 'SLNK', 'a frame without magic has none')
      return
    case 'corrupt': {
      hold(left.readUInt32LE(92) === crc32(left.subarray(0, 92)), 'a corrupt frame has a header that checks')
      if (scan.why !== 'payload-crc') return
      const payload = left.subarray(HEADER_BYTES, HEADER_BYTES + left.readUInt32LE(80))
      const crc = payload.length === 0 ? 0 : crc32(payload)
      hold(left.readUInt32LE(84) !== crc, 'a payload that is refused does not check')
      return
    }
    default:
  }
}

export function frameScannerTarget(): Target {
  const vectors = [...goldenVectors().values()]
  return {
    name: 'frame-scanner',
    seeds: [...vectors, Buffer.concat(vectors)],
    iterations: 12_000,
    bytesMax: 16 * 1024,
    tokens: [Buffer.from('SLNK'), Buffer.alloc(96)],
    // The oracle encodes again what was accepted; the scanner itself makes nothing.
    allocationBytesMax: (input) => 4096 + 4 * input.length,
    mutate: (input, prng) => mutateFrames(input, prng, vectors),
    repair: repairStream,
    feed(input) {
      const words: string[] = []
      for (let at = 0; ;) {
        const scan = scanFrame(input, at)
        if (scan.kind !== 'entry') {
          checkRefusal(scan, input, at)
          words.push('why' in scan ? `${scan.kind} ${scan.why}` : scan.kind)
          break
        }
        checkEntry(scan, input, at)
        words[0] = 'entries,'
        at = scan.next
      }
      return words.join(' ')
    },
  }
}
