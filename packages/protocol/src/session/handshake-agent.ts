/**
 * The agent's half of the handshake; what both halves share, and the picture, stand in handshake.ts.
 *
 * Owns what the agent checks of a hello and of the place to resume at. Fencing comes before the welcome, so that what
 * the welcome says of the replica cannot be changed any more by an older session.
 */
import { comparePoints } from '../entry/lsn.js'
import type { Codecs, Hello, Ready, Resume, Welcome, WireDevice, WirePoint } from '../control/messages.js'
import { WIRE_FLOOR, WIRE_PACKED, WIRE_VERSION } from '../version.js'
import { CODEC_IDS } from './codec.js'
import {
  hasRow,
  mappingsProblem,
  next,
  outOfOrder,
  refuse,
  show,
  versions,
  type Arrived,
  type Cannot,
  type HandshakeStep,
  type Refusal,
  type Transitions,
} from './handshake.js'
import { pointOf } from './resume-plan.js'

export type AgentHandshake =
  | { readonly kind: 'awaiting-hello' }
  | { readonly kind: 'fencing'; readonly hello: Hello; readonly wireVersion: number }
  | { readonly kind: 'awaiting-resume'; readonly hello: Hello; readonly welcome: Welcome }
  | { readonly kind: 'cutting'; readonly hello: Hello; readonly welcome: Welcome; readonly resume: Resume }
  | { readonly kind: 'established'; readonly wireVersion: number }

/** What the agent is, at the moment of a step. */
export interface AgentFacts {
  readonly agent: string
  readonly journal: string
  /** Group and slink that it replicates; null before its first hello. */
  readonly group: string | null
  readonly slink: number | null
  readonly epoch: number
  /** It serves writes of its own. */
  readonly promoted: boolean
  /** Why it takes no session now (an operator's command runs, say); null if it does. */
  readonly busy: string | null
  readonly devices: readonly WireDevice[]
}

/** What the agent says of its replica once no older session can change it any more. */
export type AgentStanding = Pick<Welcome, 'replica' | 'mappings' | 'dirtyMaps' | 'allDirty'>

export type AgentHandshakeEvent =
  | Arrived
  /** No older session is left, and what was adopted is durable. */
  | { readonly kind: 'fenced'; readonly standing: AgentStanding }
  /** What `resume` asked for is done, durably. */
  | { readonly kind: 'cut'; readonly creditBytes: number }
  | Cannot

export type AgentHandshakeEffect =
  /** Make group, slink and epoch the agent's own, durably. */
  | { readonly kind: 'adopt'; readonly group: string; readonly slink: number; readonly epoch: number }
  /** Close the older session, throw its input away; then say `fenced`. */
  | { readonly kind: 'fence' }
  | { readonly kind: 'send'; readonly message: Welcome | Codecs | Ready }
  /** Send so many `dirty-map` messages, now. */
  | { readonly kind: 'send-dirty-maps'; readonly count: number }
  /** Void everything beyond `common`, durably; then say `cut`. */
  | { readonly kind: 'cut'; readonly common: WirePoint; readonly hello: Hello }
  /** Make every region dirty, durably, forget the journal, take the log's identity; then say `cut`. */
  | { readonly kind: 'start-over'; readonly reason: string; readonly hello: Hello }
  | { readonly kind: 'established'; readonly wireVersion: number; readonly hello: Hello; readonly resume: Resume }

type AgentStep = HandshakeStep<AgentHandshake, AgentHandshakeEffect>

/** The law. */
export const agentTransitions = {
  'awaiting-hello': { hello: ['fencing'], cannot: ['refused'] },
  fencing: { fenced: ['awaiting-resume'], refuse: ['refused'], cannot: ['refused'] },
  'awaiting-resume': { resume: ['cutting'], refuse: ['refused'], cannot: ['refused'] },
  cutting: { cut: ['established'], refuse: ['refused'], cannot: ['refused'] },
  established: {},
} as const satisfies Transitions

/** The agent's next step. `facts` are those of this moment. */
export function stepAgent(state: AgentHandshake, event: AgentHandshakeEvent, facts: AgentFacts): AgentStep {
  if (!hasRow(agentTransitions, state.kind, event)) return outOfOrder('primary', state.kind, event)
  if (event.kind === 'cannot') return refuse(event.code, event.message)
  if (event.kind === 'message' && event.message.kind === 'refuse') {
    return { kind: 'refused', by: 'peer', code: event.message.code, message: event.message.message }
  }
  if (state.kind === 'awaiting-hello' && event.kind === 'message' && event.message.kind === 'hello') {
    return onHello(event.message, facts)
  }
  if (state.kind === 'fencing' && event.kind === 'fenced') {
    const { hello, wireVersion } = state
    const { agent, journal, devices } = facts
    const welcome: Welcome = {
      kind: 'welcome',
      wireVersion,
      agent,
      journal,
      epoch: hello.epoch,
      devices,
      ...event.standing,
    }
    const maps: AgentHandshakeEffect[] =
      welcome.dirtyMaps === 0 ? [] : [{ kind: 'send-dirty-maps', count: welcome.dirtyMaps }]
    return next({ kind: 'awaiting-resume', hello, welcome }, { kind: 'send', message: welcome }, ...maps)
  }
  if (state.kind === 'awaiting-resume' && event.kind === 'message' && event.message.kind === 'resume') {
    return onResume(state.hello, state.welcome, event.message)
  }
  if (state.kind === 'cutting' && event.kind === 'cut') {
    const {
      hello,
      welcome: { wireVersion },
      resume,
    } = state
    const ready: Ready = { kind: 'ready', end: resume.common, creditBytes: event.creditBytes }
    const codecs: AgentHandshakeEffect[] =
      wireVersion < WIRE_PACKED ? [] : [{ kind: 'send', message: { kind: 'codecs', codecs: CODEC_IDS } }]
    return next(
      { kind: 'established', wireVersion },
      ...codecs,
      { kind: 'send', message: ready },
      { kind: 'established', wireVersion, hello, resume },
    )
  }
  return outOfOrder('primary', state.kind, event)
}

function onHello(hello: Hello, facts: AgentFacts): AgentStep {
  const problem = helloProblem(hello, facts)
  if (problem !== null) return problem
  const { group, slink, epoch } = hello
  const known = facts.group === group && facts.slink === slink && facts.epoch === epoch
  const adopt: AgentHandshakeEffect[] = known ? [] : [{ kind: 'adopt', group, slink, epoch }]
  return next({ kind: 'fencing', hello, wireVersion: Math.min(hello.wireVersion, WIRE_VERSION) }, ...adopt, {
    kind: 'fence',
  })
}

function helloProblem(hello: Hello, facts: AgentFacts): Refusal | null {
  if (hello.wireFloor > WIRE_VERSION || hello.wireVersion < WIRE_FLOOR) {
    const older = hello.wireFloor > WIRE_VERSION ? 'agent' : 'primary'
    return refuse(
      'wire-version',
      `the primary speaks wire versions ${versions(hello.wireFloor, hello.wireVersion)}, this agent ${versions(WIRE_FLOOR, WIRE_VERSION)}: upgrade the ${older}`,
    )
  }
  if (facts.group !== null && facts.group !== hello.group) {
    return refuse('wrong-group', `this agent replicates the group ${facts.group}, not ${hello.group}`)
  }
  if (hello.epoch < facts.epoch) {
    return refuse(
      'older-epoch',
      `this agent is in epoch ${facts.epoch}, the primary is still in epoch ${hello.epoch}: another primary took over`,
    )
  }
  if (facts.promoted)
    return refuse('promoted', `this agent was promoted and serves writes in epoch ${facts.epoch}: demote it first`)
  if (facts.slink !== null && facts.slink !== hello.slink) {
    return refuse('wrong-slink', `this agent is slink ${facts.slink} of the group, not slink ${hello.slink}`)
  }
  if (facts.busy !== null) return refuse('busy', `this agent takes no session now: ${facts.busy}`)
  return mappingsProblem(hello.mappings, facts.devices)
}

function onResume(hello: Hello, welcome: Welcome, resume: Resume): AgentStep {
  const state: AgentHandshake = { kind: 'cutting', hello, welcome, resume }
  if (resume.restart !== null) return next(state, { kind: 'start-over', reason: resume.restart, hello })
  const { replica } = welcome
  const common = pointOf(resume.common)
  if (replica === null) {
    if (common.lsn !== 0)
      return refuse('protocol', `the primary resumes at ${show(resume.common)}, this agent has nothing`)
  } else {
    // An empty life of the log may separate the two names of one point, so that only LSNs can be held against applied.
    if (comparePoints(common, pointOf(replica.end)) > 0) {
      return refuse(
        'protocol',
        `the primary resumes at ${show(resume.common)}, this agent has only ${show(replica.end)}`,
      )
    }
    if (common.lsn < replica.applied[1]) {
      return refuse(
        'protocol',
        `the primary resumes at ${show(resume.common)}, this agent has applied ${show(replica.applied)} already`,
      )
    }
  }
  return next(state, { kind: 'cut', common: resume.common, hello })
}
