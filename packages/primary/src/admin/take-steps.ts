/**
 * Steps with a look at the paths that they put to use: what a state directory without a daemon does, and a running group
 * before it acts. Nothing is written.
 */
import { isBlockdev } from '../blockdev/address.js'
import type { DeviceConfig, GroupConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import { deviceOf, slinkOf } from './changes.js'
import { lookInTime, refusePathInUse, type PathLook } from './path-in-use.js'
import { probeDevice } from './probe.js'
import { newPathsOf, takeStep, type Step } from './steps.js'

/** The configuration after `step`. Rejects if its rules or a path that is in use do not allow it. */
export async function lookAndTake(look: PathLook, config: GroupConfig, step: Step): Promise<GroupConfig> {
  const next = takeStep(config, step)
  const paths = newPathsOf(step, config)
  // Two of one step may be the same as well.
  if (paths.length === 2 && paths[0] === paths[1])
    throw primaryErrors.create('DEVICE_PATH_USED', { path: paths[0] as string, use: 'the device and its dirty log' })
  for (const path of paths) await refusePathInUse(look, config, path)
  if (step.kind === 'map' && isBlockdev(slinkOf(config, step.wish.slink)))
    await refuseSmallTarget(look, step.wish.remote, deviceOf(config, step.wish.device))
  return next
}

/**
 * A target that is there has to be large enough. One that cannot be had now is taken: its site tries it until it can, and
 * uses none that is too small.
 */
async function refuseSmallTarget(look: PathLook, path: string, device: DeviceConfig): Promise<void> {
  const sizeBytes = await lookInTime(look, probeDevice(look.disks, path)).catch(() => null)
  if (sizeBytes === null || sizeBytes >= device.sizeBytes) return
  const { number, sizeBytes: needed } = device
  throw primaryErrors.create('MAP_TARGET_SMALL', { path, sizeBytes, device: number, needed })
}

/** The configuration after all steps. */
export async function takeSteps(look: PathLook, config: GroupConfig, steps: readonly Step[]): Promise<GroupConfig> {
  let next = config
  for (const step of steps) next = await lookAndTake(look, next, step)
  return next
}

/** Sizes of what is to become devices, by path. */
export async function probeDevices(
  look: PathLook,
  config: GroupConfig,
  paths: readonly string[],
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>()
  for (const path of paths) {
    // First: what this very process holds would be said to be held by another.
    await refusePathInUse(look, config, path)
    if (!sizes.has(path)) sizes.set(path, await probeDevice(look.disks, path))
  }
  return sizes
}
