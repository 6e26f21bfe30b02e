/**
 * A dead agent's devices with its whole journal replayed, by code of the tests' own.
 *
 * The agent itself applies only what the primary has durably, because a power cut could unmake the rest; but what it
 * acknowledged as received is in its journal, and counts at a promotion. This reads a copy of the journal from its tail
 * to its end and lays every write over copies of the devices. It changes nothing of the agent's.
 */
import { copyFileSync, constants } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RealClock, RealRandom } from '@sitelink/daemon'
import { type Frame, FrameType } from '@sitelink/protocol/entry'
import { NodeDiskProvider, openRingLog, type RingLogListener } from '@sitelink/storage'
import { removeFolder, temporaryFolder } from './places.js'

const READ_BYTES = 1024 * 1024

const listener: RingLogListener = {
  written: () => {},
  durable: () => {},
  spaceFreed: () => {},
  failed: (error) => {
    throw error
  },
  ownerState: () => Buffer.alloc(0),
}

/** `devices`: paths in the order of their numbers at the primary, whose internal ids are then 1, 2, ... */
export async function replayJournal(journal: string, devices: readonly string[]): Promise<Buffer[]> {
  const images = await Promise.all(devices.map((path) => readFile(path)))
  const folder = temporaryFolder('journal')
  try {
    const copy = join(folder, 'journal')
    copyFileSync(journal, copy, constants.COPYFILE_FICLONE)
    const disk = await new NodeDiskProvider().open(copy)
    const { log } = await openRingLog({
      disk,
      mode: 'open',
      rule: 'monotone',
      listener,
      clock: new RealClock(),
      random: new RealRandom(),
    })
    const cursor = log.cursor(log.tail)
    for (let read = await cursor.next(READ_BYTES); read !== null; read = await cursor.next(READ_BYTES)) {
      for (const entry of read) {
        if (!('frame' in entry))
          throw new Error(`the journal has a hole from LSN ${entry.firstLsn} to ${entry.lastLsn}`)
        layOver(images, entry.frame)
      }
    }
    cursor.close()
    await log.close()
    return images
  } finally {
    removeFolder(folder)
  }
}

function layOver(images: readonly Buffer[], frame: Frame): void {
  const image = images[frame.deviceId - 1]
  switch (frame.type) {
    case FrameType.write:
    case FrameType.copy:
      if (image === undefined || frame.payload === null) throw new Error(`an entry of unknown device ${frame.deviceId}`)
      frame.payload.copy(image, frame.offset)
      return
    case FrameType.zeroes:
    case FrameType.trim:
    case FrameType.copyZeroes:
      image?.fill(0, frame.offset, frame.offset + frame.length)
      return
    default:
  }
}
