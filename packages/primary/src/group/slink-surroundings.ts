/**
 * What a group gives its slinks: the one real implementation of `SlinkContext`.
 */
import type { Slink } from '../slink/slink.js'
import type { SlinkContext } from '../slink/slink-context.js'
import { markDropped } from './drop-marks.js'
import type { Group } from './group.js'
import { pointAt } from './log-points.js'
import { BLOCKDEV_ADDRESS, BLOCKDEV_SCHEME } from '../blockdev/address.js'

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
    readInto: (deviceId, offset, into) => group.writeBack.readInto(deviceId, offset, into),
    appended: () => group.appendedPoint(),
    written: () => group.writtenMark,
    durable: () => pointAt(group.log.durableLsn, group.log.incarnations),
    oldestHeld: (slink) => group.holds.oldestHeldBy(slink),
    durableWanted: (slink) =>
      holdsUpRoom(group, slink) ? group.writtenMark.point.lsn : group.holds.newestDurableBy(slink),
    // It has no journal: it acknowledges what is on its devices, and nothing goes there that is not durable here.
    tellAtOnce: (slink) => slink.config.addresses.includes(BLOCKDEV_ADDRESS) && (slink.sync || slink.isWaitedFor()),
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

/** The log is half full, and a good part of it is kept for this site, which may only not have made it durable yet. */
function holdsUpRoom({ log }: Group, { pin }: Slink): boolean {
  return pin !== null && 2 * log.freeBytes < log.ringBytes && 4 * (log.writtenEnd - pin) > log.ringBytes
}
