/**
 * A table or a message on a configuration, with what has to be looked at for it: from text to steps.
 *
 * Owns what both ways share, the running group and the state directory without a daemon. Nothing is changed here.
 */
import { must } from '@sitelink/protocol/light'
import type { PathLook } from '../admin/path-in-use.js'
import type { Step } from '../admin/steps.js'
import { probeDevices } from '../admin/take-steps.js'
import type { GroupConfig } from '../config.js'
import { readMessage, type Message } from './messages.js'
import { pathReader } from './paths.js'
import { newPaths, planTable } from './plan.js'
import { readTable, type Table } from './table.js'

export interface DmSurroundings extends PathLook {
  /** 16 new random hex digits. */
  readonly mappingId: () => string
}

/** The steps that bring `config` to what the text says; relative paths are of `directory`. */
export async function stepsOfTable(
  text: string,
  directory: string,
  config: GroupConfig,
  around: DmSurroundings,
): Promise<Step[]> {
  return stepsOf(readTable(text, pathReader(directory), [config.uuid]), config, around)
}

export async function stepsOf(table: Table, config: GroupConfig, around: DmSurroundings): Promise<Step[]> {
  // Before any disk is touched: what is wrong with the words is said first.
  planTable(table, config, { sizeOf: () => Number.MAX_SAFE_INTEGER, mappingId: () => '0'.repeat(16) })
  const sizes = await probeDevices(around, config, newPaths(table, config))
  const sizeOf = (path: string): number => must(sizes.get(path), 'every new device has been looked at')
  return planTable(table, config, { sizeOf, mappingId: around.mappingId })
}

export function messageOf(
  target: string,
  words: readonly string[],
  directory: string,
  config: GroupConfig,
  mappingId: () => string,
): Message {
  return readMessage(target, words, { config, path: pathReader(directory), mappingId })
}
