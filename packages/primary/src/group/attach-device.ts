/**
 * Makes an open device known to write-back and to NBD, from one turn to the next.
 */
import type { BlockDevice } from '@sitelink/storage'
import { DeviceExport } from './device-export.js'
import type { Group } from './group.js'
import type { LocalDevice } from './local-device.js'

export function attachDevice(group: Group, local: LocalDevice, device: BlockDevice): void {
  local.device = device
  local.problem = null
  group.devices.set(local.id, local)
  group.exports.set(local.id, new DeviceExport(local, group))
  group.writeBack.attach(local.id, device)
}
