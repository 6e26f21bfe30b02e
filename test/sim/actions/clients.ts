/**
 * Clients: writes, flushes, reads, and time that passes.
 *
 * A read is judged where it is made, promise 5: each of its bytes is the newest one that was acknowledged when the read
 * was asked for, or one that was written since.
 */
import { FrameType, type Frame } from '@sitelink/protocol'
import { MIB } from '../../pair/world.js'
import type { SimDevice } from '../cast.js'
import type { Simulation } from '../simulation.js'
import { demand } from '../violation.js'
import type { Action } from './action.js'

/** A client has a bounded number of requests under way. */
const OPEN_MAX = 200

const canWrite = ({ world, cast }: Simulation): boolean =>
  world.primary.running && world.primary.open.size < OPEN_MAX && cast.presentDevices.length > 0

export const CLIENTS: readonly Action[] = [
  { name: 'write', weight: 30, possible: canWrite, run: (sim) => write(sim, sim.prng.between(1, 25)) },
  { name: 'write much', weight: 6, possible: canWrite, run: writeMuch },
  { name: 'read', weight: 10, possible: canWrite, run: read },
  { name: 'wait', weight: 12, run: ({ world, prng }) => world.advance(prng.pick([1, 20, 100, 700])) },
  { name: 'wait long', weight: 3, run: ({ world, prng }) => world.advance(prng.between(2000, 6000)) },
]

/** Random requests, a few of them at a time. */
export async function write(sim: Simulation, count: number): Promise<void> {
  const { world, prng, cast } = sim
  const { primary } = world
  for (let i = 0; i < count && canWrite(sim); i++) {
    const { number: device, sizeBytes } = prng.pick(cast.presentDevices)
    const length = 512 * (prng.chance(0.1) ? prng.between(1, 700) : prng.between(1, 24))
    // Overlaps are what matters: most writes go to a few places.
    const offset = prng.chance(0.6)
      ? 4096 * prng.below(16) + MIB * prng.below(Math.floor(sizeBytes / MIB))
      : 512 * prng.below((sizeBytes - length) / 512 + 1)
    const fits = Math.min(length, sizeBytes - offset)
    const fua = prng.chance(0.08)
    const kind = prng.below(20)
    if (kind === 0) primary.write({ device, offset, bytes: fits, operation: 'trim', fua })
    else if (kind === 1) primary.write({ device, offset, bytes: fits, operation: 'write-zeroes', fua })
    else if (kind === 2) primary.flush(device)
    else primary.write({ device, offset, bytes: sim.payload(fits), fua })
    if (prng.chance(0.2)) await world.advance(prng.pick([0, 1, 5]))
  }
  if (prng.chance(0.5)) await world.advance(prng.pick([0, 1, 10, 150]))
}

/** More than the log holds, so that it overflows. */
async function writeMuch(sim: Simulation): Promise<void> {
  const { world, prng, cast } = sim
  const bytes = prng.between(64, 256) * 1024
  const times = prng.between(4, 16)
  for (let i = 0; i < times && canWrite(sim); i++) {
    const { number: device, sizeBytes } = prng.pick(cast.presentDevices)
    world.primary.write({ device, offset: 512 * prng.below((sizeBytes - bytes) / 512 + 1), bytes: sim.payload(bytes) })
    await world.advance(prng.pick([0, 1, 20]))
  }
}

function read(sim: Simulation): void {
  const { world, prng, cast } = sim
  const { primary } = world
  const device = prng.pick(cast.presentDevices)
  const length = 512 * prng.between(1, 128)
  const offset = 512 * prng.below((device.sizeBytes - length) / 512 + 1)
  const { history } = primary
  const { incarnation } = history
  const low = primary.promised.written
  const { ticket, request } = primary.readTicket(device.number, offset, length)
  const answered = request.answered
  request.answered = (errno) => {
    answered(errno)
    if (ticket.errno === 0 && history.incarnation === incarnation)
      judgeRead(sim, device, offset, request.bytes as Buffer, low)
  }
}

function judgeRead(sim: Simulation, { deviceId }: SimDevice, offset: number, found: Buffer, low: number): void {
  const { history } = sim.world.primary
  const wanted = Buffer.alloc(found.length)
  history.contentAt(low).get(deviceId)?.read(wanted, offset)
  const newer = history.entries(low + 1, history.lastLsn).filter((frame) => frame.deviceId === deviceId)
  let at = firstWrong(found, wanted, offset, newer)
  // Holes of the log are reported by an error, never by other bytes.
  demand(
    'reads',
    at < 0,
    () => `byte ${(at += offset)} of device id ${deviceId} is neither what LSN ${low} left nor newer`,
  )
}

/** Index of the first byte that is not `wanted` and was written by none of the newer entries; -1 if there is none. */
function firstWrong(found: Buffer, wanted: Buffer, offset: number, newer: readonly Frame[]): number {
  if (found.equals(wanted)) return -1
  for (let at = 0; at < found.length; at++) {
    if (found[at] === wanted[at]) continue
    const place = offset + at
    const explained = newer.some(
      (frame) =>
        frame.offset <= place &&
        place < frame.offset + frame.length &&
        byteOf(frame, place - frame.offset) === found[at],
    )
    if (!explained) return at
  }
  return -1
}

function byteOf(frame: Frame, at: number): number | undefined {
  return frame.type === FrameType.write ? frame.payload?.[at] : 0
}
