/**
 * Steps on a state directory without a daemon: looked at, then stored as one configuration.
 *
 * Owns what goes with a step besides the configuration: the record of a deleted slink's agent goes first, so that the
 * next slink of this number is not compared with it. Nothing is stored where one step is refused.
 */
import { ConfigFile, type StateDirectory, type StateLock } from '@sitelink/daemon'
import type { PathLook } from '../admin/path-in-use.js'
import type { Step } from '../admin/steps.js'
import { takeSteps } from '../admin/take-steps.js'
import type { GroupConfig } from '../config.js'
import { peersFormat, peerStore } from './open-state.js'

export async function storeSteps(
  state: StateDirectory,
  lock: StateLock,
  config: ConfigFile<GroupConfig>,
  steps: readonly Step[],
  look: PathLook,
): Promise<void> {
  if (steps.length === 0) return
  const next = await takeSteps(look, config.current, steps)
  const peers = peerStore(await ConfigFile.open(state, lock, peersFormat))
  for (const step of steps) if (step.kind === 'delete-slink') await peers.set(step.slink, null)
  await config.update(() => next)
}
