/**
 * Steps of a change of the configuration: what a verb, a message or a whole table asks for, as a list.
 *
 * Owns what a step may be and what it makes of a configuration; pure. Steps are taken in order, and all of them or none:
 * without a daemon the last configuration is stored, in a running group `group-change.ts` does the same to what runs.
 */
import { unreachable } from '@sitelink/protocol/light'
import { isBlockdev } from '../blockdev/address.js'
import type { GroupConfig } from '../config.js'
import {
  addDevice,
  addMapping,
  addSlink,
  changeSlink,
  deleteMapping,
  deleteSlink,
  slinkOf,
  type NewDevice,
  type NewMapping,
  type NewSlink,
  type SlinkChange,
} from './changes.js'

export type Step =
  | { readonly kind: 'add-device'; readonly wish: NewDevice }
  | { readonly kind: 'add-slink'; readonly wish: NewSlink }
  | { readonly kind: 'change-slink'; readonly slink: number; readonly change: SlinkChange }
  | { readonly kind: 'delete-slink'; readonly slink: number; readonly unmap: boolean }
  | { readonly kind: 'map'; readonly wish: NewMapping }
  | { readonly kind: 'unmap'; readonly device: number; readonly slink: number }

/** The configuration after `step`, or a refusal. */
export function takeStep(config: GroupConfig, step: Step): GroupConfig {
  switch (step.kind) {
    case 'add-device':
      return addDevice(config, step.wish)
    case 'add-slink':
      return addSlink(config, step.wish)
    case 'change-slink':
      return changeSlink(config, step.slink, step.change)
    case 'delete-slink':
      return deleteSlink(config, step.slink, step.unmap)
    case 'map':
      return addMapping(config, step.wish)
    case 'unmap':
      return deleteMapping(config, step.device, step.slink)
    default:
      return unreachable(step)
  }
}

/** Paths that `step` puts to use and that nobody may use already; `config`: as it is before the step. */
export function newPathsOf(step: Step, config: GroupConfig): string[] {
  if (step.kind === 'add-device') return [step.wish.path]
  if (step.kind !== 'map') return []
  const { remote, dirtyLog } = step.wish
  const target = isBlockdev(slinkOf(config, step.wish.slink)) ? [remote] : []
  return dirtyLog.type === 'disk' && dirtyLog.path !== null ? [...target, dirtyLog.path] : target
}
