/**
 * The real disks, clock and network that an agent of this host runs on.
 */
import { RealClock, RealRandom, type EventLog } from '@sitelink/daemon'
import { NodeDiskProvider } from '@sitelink/storage'
import type { AgentOptions } from '../agent.js'
import type { AgentConfig } from '../config.js'

/** How the configuration makes an agent of this host; it has no links unless it is given some. */
export function agentOptions(stateDir: string, config: AgentConfig, events: EventLog | null): AgentOptions {
  const clock = new RealClock()
  return {
    disks: new NodeDiskProvider({ clock }),
    clock,
    random: new RealRandom(),
    stateDir,
    journalPath: config.journal.path,
    journalBytes: config.journal.sizeBytes,
    transports: [],
    devices: config.devices,
    event: ({ level, kind, message, facts }) => void events?.add(level, kind, message, facts ?? {}),
  }
}
