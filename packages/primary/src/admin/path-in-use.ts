/**
 * A path that is the log, a device or a dirty log already would destroy one of them: whatever its name, it is refused.
 *
 * Owns the list of what a configuration uses. Paths are compared by what they lead to, so links and other names count.
 */
import type { DiskProvider } from '@sitelink/storage'
import type { GroupConfig } from '../config.js'
import { primaryErrors } from '../errors.js'

/** Rejects if `path` leads to something of this group. A path where nothing is yet is free. */
export async function refusePathInUse(disks: DiskProvider, config: GroupConfig, path: string): Promise<void> {
  const used: { readonly path: string; readonly use: string }[] = [{ path: config.log.path, use: 'the log' }]
  for (const device of config.devices) used.push({ path: device.path, use: `device ${device.number}` })
  for (const slink of config.slinks) {
    for (const { dirtyLog } of slink.mappings) {
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
