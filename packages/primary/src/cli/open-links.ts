/**
 * The encrypted links of a state directory: its identity and its pins, opened under its lock.
 *
 * Composition only. A state directory of a release without them gets both files here.
 */
import {
  ConfigFile,
  daemonErrors,
  IdentityFile,
  RealRandom,
  type StateDirectory,
  type StateLock,
} from '@sitelink/daemon'
import type { Clock } from '@sitelink/protocol'
import type { EventSink } from '../group/events.js'
import { AgentLinks } from '../trust/agent-links.js'
import { NO_PINS, pinsFormat, type Pins } from '../trust/pins.js'

export async function openAgentLinks(
  state: StateDirectory,
  lock: StateLock,
  clock: Clock,
  event: EventSink = () => {},
): Promise<AgentLinks> {
  const identity = await IdentityFile.open(state, lock)
  return new AgentLinks({ clock, random: new RealRandom(), event, identity, pins: await openPins(state, lock) })
}

async function openPins(state: StateDirectory, lock: StateLock): Promise<ConfigFile<Pins>> {
  try {
    return await ConfigFile.open(state, lock, pinsFormat)
  } catch (error) {
    if (!daemonErrors.is(error, 'CONFIG_MISSING')) throw error
    return ConfigFile.create(state, lock, pinsFormat, NO_PINS)
  }
}
