/**
 * A path that is the log, a device, a dirty log or a file of the state directory already would destroy one of them: whatever its name, it is refused.
 *
 * Owns the list of what a configuration uses. Paths are compared by what they lead to, so links and other names count.
 */
import { ownStateFile, within } from '@sitelink/daemon/light'
import type { Clock } from '@sitelink/protocol'
import type { DiskProvider } from '@sitelink/storage'
import { isBlockdev } from '../blockdev/address.js'
import type { GroupConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import { LOOK_MS_MAX } from '../limits.js'

export interface PathLook {
  readonly disks: DiskProvider
  /** With one, a path that hangs is looked at for a bounded time: nobody else's verb waits for it. */
  readonly clock?: Clock
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
export async function refusePathInUse(look: PathLook, config: GroupConfig, path: string): Promise<void> {
  const own = await look.stateFile(path)
  if (own !== null) throw primaryErrors.create('DEVICE_PATH_USED', { path, use: `${own} of the state directory` })
  const used: { readonly path: string; readonly use: string; readonly mayHang?: true }[] = [
    { path: config.log.path, use: 'the log' },
  ]
  for (const device of config.devices) used.push({ path: device.path, use: `device ${device.number}` })
  for (const slink of config.slinks) {
    for (const { dirtyLog, remote } of slink.mappings) {
      if (isBlockdev(slink)) used.push({ path: remote, use: `a device of slink ${slink.number}`, mayHang: true })
      if (dirtyLog.type === 'disk' && dirtyLog.path !== null)
        used.push({ path: dirtyLog.path, use: `a dirty log of slink ${slink.number}` })
    }
  }
  const identity = await lookInTime(look, identityOf(look.disks, path))
  for (const { path: other, use, mayHang } of used) {
    const found = async (): Promise<string | null> =>
      mayHang === true
        ? lookInTime(look, identityOf(look.disks, other)).catch(() => null)
        : identityOf(look.disks, other)
    const same = other === path || (identity !== null && (await found()) === identity)
    if (same) throw primaryErrors.create('DEVICE_PATH_USED', { path, use })
  }
}

/** What names the file or device at a path, whatever its name; null where nothing is. */
async function identityOf(disks: DiskProvider, path: string): Promise<string | null> {
  return (await disks.exists(path)) === null ? null : disks.identify(path)
}

/** What `work` brings; null if that takes too long. */
export async function lookInTime<T>({ clock }: PathLook, work: Promise<T>): Promise<T | null> {
  if (clock === undefined) return work
  let found: (() => T) | null = null
  const looked = work.then(
    (value) => {
      found = () => value
    },
    (error: unknown) => {
      found = () => {
        throw error
      }
    },
  )
  await within(clock, LOOK_MS_MAX, looked)
  return (found as (() => T) | null)?.() ?? null
}
