/**
 * What adding and taking away a device means for the configuration.
 *
 * Decides from the configuration and a look at the disks; changes neither. Invariant: no file or block device is used
 * twice, whatever names and links lead to it.
 */
import { ownStateFile } from '@sitelink/daemon/light'
import type { DiskProvider } from '@sitelink/storage'
import type { AgentConfig } from '../config.js'
import { deviceNameProblem } from '../config.js'
import type { DeviceConfig } from '../device/device-set.js'
import { agentErrors } from '../errors.js'
import { DEVICE_COUNT_MAX } from '../limits.js'

/** Throws where the name cannot be used. */
export function checkDeviceName(config: AgentConfig, name: string, state: string): void {
  const problem = deviceNameProblem(name)
  if (problem !== null) throw agentErrors.create('AGENT_DEVICE_NAME', { name, why: problem })
  const same = config.devices.find((device) => device.name === name)
  if (same !== undefined) throw agentErrors.create('AGENT_DEVICE_EXISTS', { name, path: same.path, state })
  if (config.devices.length >= DEVICE_COUNT_MAX)
    throw agentErrors.create('AGENT_DEVICE_COUNT', { countMax: DEVICE_COUNT_MAX })
}

/** Throws where the path is used already, or leads to nothing. */
export async function checkDevicePath(
  disks: DiskProvider,
  config: AgentConfig,
  path: string,
  state: string,
): Promise<void> {
  const own = await ownStateFile(state, path, isStateFile)
  if (own !== null)
    throw agentErrors.create('AGENT_DEVICE_TWICE', { path, owner: `${own} of the state directory`, state })
  const identity = await disks.identify(path)
  const used = [
    { path: config.journal.path, owner: 'the journal' },
    ...config.devices.map((device) => ({ path: device.path, owner: `device ${device.name}` })),
  ]
  for (const { path: other, owner } of used) {
    if ((await disks.exists(other)) === null) continue
    if ((await disks.identify(other)) === identity)
      throw agentErrors.create('AGENT_DEVICE_TWICE', { path, owner, state })
  }
}

/** What `sitelink-agent` keeps in its state directory besides what every program does. */
function isStateFile(name: string): boolean {
  return /^(config\.json|identity\.json|trust\.json|replica\.json|\.replica\.json\.new|control\.sock|dirty-[^/]*\.log)$/.test(
    name,
  )
}

export function withDevice(config: AgentConfig, device: DeviceConfig): AgentConfig {
  return { ...config, devices: [...config.devices, device] }
}

/** Without the device. Throws where there is none, or where it is mapped and `force` is not given. */
export function withoutDevice(
  config: AgentConfig,
  name: string,
  mapped: { readonly deviceId: number } | null,
  force: boolean,
  state: string,
): AgentConfig {
  if (!config.devices.some((device) => device.name === name))
    throw agentErrors.create('AGENT_DEVICE_UNKNOWN', { name, state })
  if (mapped !== null && !force) throw agentErrors.create('AGENT_DEVICE_MAPPED', { name, deviceId: mapped.deviceId })
  return { ...config, devices: config.devices.filter((device) => device.name !== name) }
}
