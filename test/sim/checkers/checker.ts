/** What a checker may hear of. It throws a `Violation`; it changes nothing and uses no randomness. */
import type { AgentHost } from '../../pair/agent-host.js'
import type { Ticket } from '../../pair/primary-host.js'
import type { Site } from '../cast.js'
import type { Simulation } from '../simulation.js'

export interface Checker {
  /** After each step. */
  stepped?(): void | Promise<void>
  /** In the turn of each answer to a client. */
  answered?(ticket: Ticket): void
  /** An agent is open again; `replay` is what its devices and journal were before it opened them. */
  agentOpened?(site: Site, replay: Awaited<ReturnType<AgentHost['replayed']>>): void
  /** A life of the primary has opened its group; nothing of it has run yet. */
  primaryOpened?(): void
  /** There are no faults, everything has been answered, all sites have said that they have everything. */
  healed?(): void | Promise<void>
}

export type MakeChecker = (simulation: Simulation) => Checker
