/**
 * Verbs about the log at the control API of a running group, and the progress that they share with the command line.
 */
import { delay, type ControlServer } from '@sitelink/daemon'
import type { Clock } from '@sitelink/protocol'
import type { ResizeOutcome, ResizeStatus, RingLog } from '@sitelink/storage'
import { bodyOf, flagOf, integerOf } from '../admin/wishes.js'
import type { GroupAdmin } from '../group/group-admin.js'
import type { Group } from '../group/group.js'

/** How often streams of progress look. */
const PROGRESS_MS = 200

export function registerLogVerbs(server: ControlServer, group: Group, admin: GroupAdmin): void {
  server.stream('log-resize', async function* (body, { signal }) {
    const fields = bodyOf(body, ['sizeBytes', 'sparse', 'overwrite'])
    const { ended } = await admin.resizeLog({
      sizeBytes: integerOf(fields, 'sizeBytes', 0, Number.MAX_SAFE_INTEGER),
      sparse: flagOf(fields, 'sparse'),
      overwrite: flagOf(fields, 'overwrite'),
    })
    return yield* followResize(group.log, group.parts.clock, ended, signal)
  })
}

/** Yields how far it is until it has ended. A reader that goes away leaves it running. */
export async function* followResize(
  log: RingLog,
  clock: Clock,
  ended: Promise<ResizeOutcome>,
  signal?: AbortSignal,
): AsyncGenerator<ResizeStatus, ResizeOutcome | null, void> {
  let over = false
  const settled = ended.finally(() => (over = true))
  settled.catch(() => {})
  while (!over && signal?.aborted !== true) {
    const { resize } = log.status()
    if (resize !== null) yield resize
    await Promise.race([settled, delay(clock, PROGRESS_MS)])
  }
  return over ? ended : null
}
