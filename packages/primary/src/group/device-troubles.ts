/**
 * What an operator is told when a local device fails, comes back, or cannot be read.
 */
import type { LogPosition } from '@sitelink/protocol'
import { DiskError } from '@sitelink/storage'
import type { Group } from './group.js'

/** A stretch of a device that an entry of the log wrote. */
interface Written {
  readonly position: LogPosition
  readonly deviceId: number
  readonly offset: number
  readonly length: number
}

/**
 * An entry that is not on its device yet cannot be read from the log. A disk that fails is tried again; bytes that do not
 * check will not check later: they are lost, durably, and the entries behind them go on.
 */
export function entryUnreadable(group: Group, { position, deviceId, offset, length }: Written, error: Error): void {
  const device = group.devices.get(deviceId)?.config.number ?? `id ${deviceId}`
  if (isDiskError(error)) {
    const message = `an entry for device ${device} cannot be read from the log, it is tried again: ${error.message}`
    group.parts.event({ kind: 'read-failed', level: 'error', message, facts: { deviceId, offset, length } })
    return
  }
  const lost = group.writeBack.noteUnreadable(position, deviceId, offset, length)
  const lostBytes = lost.reduce((sum, range) => sum + range.length, 0)
  group.superblockWanted()
  group.parts.event({
    kind: 'log-hole',
    level: 'error',
    message: `an entry for device ${device} is damaged in the log: reads of ${lostBytes} bytes fail until they are overwritten`,
    facts: { deviceId, offset, length, lostBytes },
  })
}

function isDiskError(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) if (at instanceof DiskError) return true
  return false
}

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
