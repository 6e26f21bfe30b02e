/**
 * What a group gives its slinks: the one real implementation of `SlinkContext`.
 */
import type { SlinkContext } from '../slink/slink-context.js'
import { markDropped } from './drop-marks.js'
import type { Group } from './group.js'
import { pointAt } from './log-points.js'
import { BLOCKDEV_SCHEME } from '../blockdev/address.js'

export function slinkSurroundings(group: Group): SlinkContext {
  const { clock, random, event, peers, transport } = group.parts
  return {
    clock,
    random,
    log: group.log,
    ledger: group.ledger,
    event,
    group: group.config.uuid,
    epoch: () => group.config.epoch,
    transport: (scheme, slink) => (scheme === BLOCKDEV_SCHEME ? group.sites.of(slink) : transport(scheme, slink)),
    read: (deviceId, offset, length) => group.writeBack.read(deviceId, offset, length),
    appended: () => group.appendedPoint(),
    written: () => group.writtenMark,
    durable: () => pointAt(group.log.durableLsn, group.log.incarnations),
    oldestHeld: (slink) => group.holds.oldestHeldBy(slink),
    // A log that is half full needs the room of what a site has only not made durable yet.
    durableWanted: (slink) =>
      2 * group.log.freeBytes < group.log.ringBytes ? group.writtenMark.point.lsn : group.holds.newestDurableBy(slink),
    failHeld: (slink) => group.failHeldBy(slink),
    markRange: (slink, position) => markDropped(group, slink.mappings, position),
    peer: (slink) => peers.get(slink),
    recordPeer: (slink, record) => peers.set(slink, record),
    marksMoved: () => group.release(),
    holdingChanged: () => group.holdingChanged(),
    standingChanged: () => group.standingChanged(),
    tailMayMove: () => group.advanceTail(),
    superblockWanted: () => group.superblockWanted(),
  }
}
