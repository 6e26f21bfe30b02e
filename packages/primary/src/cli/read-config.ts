/**
 * Reads the configuration for a report, whether or not a daemon runs: the file is replaced atomically, so what is read
 * is always one whole configuration.
 */
import { readConfig as readFile, type CliContext } from '@sitelink/daemon/light'
import type { GroupConfig } from '../config.js'
import { configFormat } from './open-state.js'

export async function readConfig(context: CliContext<unknown>): Promise<GroupConfig> {
  const state = await context.state()
  return readFile(state.file(configFormat.name), configFormat)
}
