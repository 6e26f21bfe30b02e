/**
 * A path that is the log, a device, a dirty log or a file of the state directory already would destroy one of them: whatever its name, it is refused.
 *
 * Owns the list of what a configuration uses. Paths are compared by what they lead to, so links and other names count.
 */
import { ownStateFile } from '@sitelink/daemon'
import type { DiskProvider } from '@sitelink/storage'
import { isBlockdev } from '../blockdev/address.js'
import type { GroupConfig } from '../config.js'
import { primaryErrors } from '../errors.js'

export interface PathLook {
  readonly disks: DiskProvider
  /** Name of the group's own file in its state directory that a path leads to; null if it leads to none. */
  readonly stateFile: (path: string) => Promise<string | null>
}

/** What `sitelink` keeps in a state directory `path` besides what every program does. */
export function groupStateFile(directory: string): PathLook['stateFile'] {
  return (path) =>
    ownStateFile(directory, path, (name) =>
      /^(config\.json|peers\.json|identity\.json|trust\.json|control\.sock|nbd\.sock|dirty(\/.*)?|sites(\/.*)?)$/.test(
        name,
      ),
    )
}

/** Rejects if `path` leads to something of this group. A path where nothing is yet is free. */
export async function refusePathInUse(
  { disks, stateFile }: PathLook,
  config: GroupConfig,
  path: string,
): Promise<void> {
  const own = await stateFile(path)
  if (own !== null) throw primaryErrors.create('DEVICE_PATH_USED', { path, use: `${own} of the state directory` })
  const used: { readonly path: string; readonly use: string }[] = [{ path: config.log.path, use: 'the log' }]
  for (const device of config.devices) used.push({ path: device.path, use: `device ${device.number}` })
  for (const slink of config.slinks) {
    for (const { dirtyLog, remote } of slink.mappings) {
      if (isBlockdev(slink)) used.push({ path: remote, use: `a device of slink ${slink.number}` })
      if (dirtyLog.type === 'disk' && dirtyLog.path !== null)
        used.push({ path: dirtyLog.path, use: `a dirty log of slink ${slink.number}` })
    }
  }
  const identity = (await disks.exists(path)) === null ? null : await disks.identify(path)
  for (const { path: other, use } of used) {
    const same =
      other === path ||
      (identity !== null && (await disks.exists(other)) !== null && (await disks.identify(other)) === identity)
    if (same) throw primaryErrors.create('DEVICE_PATH_USED', { path, use })
  }
}
