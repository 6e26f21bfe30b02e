/**
 * What an operator is told when a local device fails, comes back, or cannot be read.
 */
import type { Group } from './group.js'

export function deviceFailed(group: Group, deviceId: number, error: Error): void {
  const device = group.devices.get(deviceId)
  if (device !== undefined) device.problem = error.message
  const name = device?.config.number ?? `id ${deviceId}`
  group.parts.event({
    kind: 'device-failed',
    level: 'error',
    message: `device ${name} cannot be written: ${error.message}; its writes stay in the log and are tried again`,
    facts: { deviceId, device: device?.config.number ?? null },
  })
}

export function deviceRecovered(group: Group, deviceId: number): void {
  const device = group.devices.get(deviceId)
  if (device !== undefined) device.problem = null
  const message = `device ${device?.config.number ?? `id ${deviceId}`} works again`
  group.parts.event({ kind: 'device-recovered', level: 'info', message, facts: { deviceId } })
}

export function readFailed(group: Group, deviceId: number, offset: number, length: number, error: Error): void {
  const message = `a read of device id ${deviceId} failed: ${error.message}`
  group.parts.event({ kind: 'read-failed', level: 'error', message, facts: { deviceId, offset, length } })
}
