/**
 * The tail of a running group: what pins its log, and what happens where a dirty log keeps it from moving. Composition only.
 */
import type { Group } from './group.js'
import { Tail } from './tail.js'

export function tailOf(group: Group): Tail {
  const { clock, event } = group.parts
  return new Tail({
    log: group.log,
    clock,
    slinks: () => group.slinks.values(),
    localPin: () => group.writeBack.appliedPosition,
    starving: () => group.writePath.waitingCount > 0,
    failed: (slink, error) =>
      event({
        kind: 'dirty-log-failed',
        level: 'error',
        message: `entries stay in the log: a dirty log of slink ${slink.number} cannot be stored: ${error.message}`,
        facts: { slink: slink.number },
      }),
  })
}
