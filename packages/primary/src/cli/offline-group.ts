/**
 * A group that is opened without a daemon and without sites: its log is recovered and redone, nobody is met.
 *
 * Owns the opening that `log apply`, `log resize` and messages share, and that what was opened is closed again.
 */
import { mkdir } from 'node:fs/promises'
import { ConfigFile, RealClock, RealRandom, type StateDirectory, type StateLock } from '@sitelink/daemon'
import { NodeDiskProvider, type ResizeOutcome, type RingLog } from '@sitelink/storage'
import { groupStateFile } from '../admin/path-in-use.js'
import type { Group } from '../group/group.js'
import type { ResizeWish } from '../group/log-resize.js'
import { openGroup } from '../group/open-group.js'
import { configFormat } from './open-state.js'

/** How long local devices may take to get what the log has for them, where that is not what was asked for. */
const STOP_MS = 10_000

/** `problems` collects what goes wrong, a sentence each. */
export async function openOffline(state: StateDirectory, lock: StateLock, problems: string[]): Promise<Group> {
  // No daemon may have run yet.
  for (const name of ['dirty', 'sites']) await mkdir(state.file(name), { recursive: true, mode: 0o700 })
  return openGroup({
    clock: new RealClock(),
    random: new RealRandom(),
    disks: new NodeDiskProvider(),
    // A mapping that no daemon has met yet is made here: that is stored.
    config: await ConfigFile.open(state, lock, configFormat),
    peers: { get: () => null, set: () => Promise.resolve() },
    event: ({ level, message }) => {
      if (level !== 'info') problems.push(message)
    },
    transport: () => null,
    dirtyLogPath: (slink, mappingId) => state.file(`dirty/slink-${slink}-${mappingId}.dirty`),
    sitePath: (slink) => state.file(`sites/slink-${slink}.site`),
    stateFile: groupStateFile(state.path),
  })
}

/** Resizes the log without a daemon. `follow` is given what to look at meanwhile, and answers how it ended. */
export async function resizeOffline(
  state: StateDirectory,
  lock: StateLock,
  wish: ResizeWish,
  follow: (log: RingLog, ended: Promise<ResizeOutcome>) => Promise<ResizeOutcome | null>,
): Promise<ResizeOutcome | null> {
  const group = await openOffline(state, lock, [])
  try {
    const { ended } = await group.logResize.begin(wish)
    return await follow(group.log, ended)
  } finally {
    await group.stop(STOP_MS)
  }
}
