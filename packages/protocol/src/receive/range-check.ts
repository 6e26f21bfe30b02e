/**
 * Does a frame touch only what it may? The rules of ranges, and nothing else.
 *
 * Pure. A frame that names a device which is not mapped, or bytes outside of it, is a fault of the peer: it gets one
 * sentence and nothing of it is kept. Invariant: what passes lies inside its mapping, and bytes never cross a region.
 */
import { ENTRY_BOUNDARY_BYTES, FrameType, RANGE_BYTES_MAX, type Frame } from '../entry/index.js'

/** What the stream may touch of one device. */
export interface StreamDevice {
  readonly sizeBytes: number
  readonly regionBytes: number
}

/** Why `frame` may not touch what it names, as one sentence; null if it may. `device` is null where none is mapped. */
export function rangeProblem(frame: Frame, device: StreamDevice | null): string | null {
  switch (frame.type) {
    case FrameType.skip:
    case FrameType.marker:
    case FrameType.map:
      return null
    case FrameType.unmap:
    case FrameType.resyncBegin:
      return device === null ? unmapped(frame) : null
    default:
  }
  if (device === null) return unmapped(frame)
  const { offset, length } = frame
  if (length <= 0) return `LSN ${frame.lsn} names an empty range of device ${frame.deviceId}`
  if (offset + length > device.sizeBytes) {
    return `LSN ${frame.lsn} ends at byte ${offset + length} of device ${frame.deviceId}, which has ${device.sizeBytes}`
  }
  const payloadBytes = frame.payload === null ? 0 : frame.payload.length
  switch (frame.type) {
    case FrameType.write:
    case FrameType.copy:
      if (payloadBytes !== length) return `LSN ${frame.lsn} names ${length} bytes and brings ${payloadBytes}`
      return crosses(offset, length, ENTRY_BOUNDARY_BYTES)
        ? `LSN ${frame.lsn} crosses a boundary of ${ENTRY_BOUNDARY_BYTES} bytes`
        : null
    case FrameType.copyZeroes:
      if (payloadBytes !== 0) return `LSN ${frame.lsn} brings ${payloadBytes} bytes where none belong`
      return crosses(offset, length, device.regionBytes) ? `a copy at LSN ${frame.lsn} crosses a region` : null
    default:
      if (payloadBytes !== 0) return `LSN ${frame.lsn} brings ${payloadBytes} bytes where none belong`
      return length > RANGE_BYTES_MAX
        ? `LSN ${frame.lsn} names ${length} bytes, at most ${RANGE_BYTES_MAX} may be`
        : null
  }
}

function crosses(offset: number, length: number, boundaryBytes: number): boolean {
  return Math.floor(offset / boundaryBytes) !== Math.floor((offset + length - 1) / boundaryBytes)
}

function unmapped(frame: Frame): string {
  return `LSN ${frame.lsn} names device ${frame.deviceId}, which is not mapped to this agent`
}
