/**
 * Steps with a look at the paths that they put to use: what a state directory without a daemon does, and a running group
 * before it acts. Nothing is written.
 */
import type { GroupConfig } from '../config.js'
import { refusePathInUse, type PathLook } from './path-in-use.js'
import { probeDevice } from './probe.js'
import { newPathOf, takeStep, type Step } from './steps.js'

/** The configuration after `step`. Rejects if its rules or a path that is in use do not allow it. */
export async function lookAndTake(look: PathLook, config: GroupConfig, step: Step): Promise<GroupConfig> {
  const next = takeStep(config, step)
  const path = newPathOf(step)
  if (path !== null) await refusePathInUse(look, config, path)
  return next
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
