/**
 * The primary's half of the handshake; what both halves share, and the picture, stand in handshake.ts.
 *
 * Owns what the primary checks of a welcome and of the agent's readiness. It plans nothing: the effect `plan` asks its
 * owner to, after every part of the agent's dirty map was handed over.
 */
import { unreachable } from '../entry/assert.js'
import type { ControlMessage, DirtyMap, Hello, Ready, Resume, Welcome } from '../control/messages.js'
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

export type PrimaryHandshake =
  | { readonly kind: 'start' }
  | { readonly kind: 'awaiting-welcome' }
  | { readonly kind: 'awaiting-dirty-maps'; readonly welcome: Welcome; readonly left: number }
  | { readonly kind: 'planning'; readonly welcome: Welcome }
  | { readonly kind: 'awaiting-ready'; readonly welcome: Welcome; readonly resume: Resume }
  | { readonly kind: 'established'; readonly wireVersion: number }

export type PrimaryHandshakeEvent =
  | { readonly kind: 'start' }
  | Arrived
  /** The plan is made, and every region that it wants dirty is, durably. */
  | { readonly kind: 'planned'; readonly resume: Resume }
  | Cannot

export type PrimaryHandshakeEffect =
  | { readonly kind: 'send'; readonly message: Hello | Resume }
  /** OR this part into the slink's dirty logs; durable before `planned`. */
  | { readonly kind: 'take-dirty-map'; readonly map: DirtyMap }
  /** Plan (session/resume-plan.ts), then say `planned`. */
  | { readonly kind: 'plan'; readonly welcome: Welcome }
  | { readonly kind: 'established'; readonly wireVersion: number; readonly ready: Ready }

type PrimaryStep = HandshakeStep<PrimaryHandshake, PrimaryHandshakeEffect>

/** The law. */
export const primaryTransitions = {
  start: { start: ['awaiting-welcome'] },
  'awaiting-welcome': { welcome: ['awaiting-dirty-maps', 'planning'], refuse: ['refused'], cannot: ['refused'] },
  'awaiting-dirty-maps': { 'dirty-map': ['awaiting-dirty-maps', 'planning'], refuse: ['refused'], cannot: ['refused'] },
  planning: { planned: ['awaiting-ready'], refuse: ['refused'], cannot: ['refused'] },
  'awaiting-ready': { ready: ['established'], refuse: ['refused'], cannot: ['refused'] },
  established: {},
} as const satisfies Transitions

/** The primary's next step. `hello` is what it says, the same at every call. */
export function stepPrimary(state: PrimaryHandshake, event: PrimaryHandshakeEvent, hello: Hello): PrimaryStep {
  if (!hasRow(primaryTransitions, state.kind, event)) return outOfOrder('agent', state.kind, event)
  switch (event.kind) {
    case 'start':
      return next({ kind: 'awaiting-welcome' }, { kind: 'send', message: hello })
    case 'cannot':
      return refuse(event.code, event.message)
    case 'planned':
      if (state.kind !== 'planning') return outOfOrder('agent', state.kind, event)
      return next(
        { kind: 'awaiting-ready', welcome: state.welcome, resume: event.resume },
        { kind: 'send', message: event.resume },
      )
    case 'message':
      return primaryMessage(state, event.message, hello)
    default:
      return unreachable(event)
  }
}

function primaryMessage(state: PrimaryHandshake, message: ControlMessage, hello: Hello): PrimaryStep {
  if (message.kind === 'refuse') return { kind: 'refused', by: 'peer', code: message.code, message: message.message }
  if (message.kind === 'welcome' && state.kind === 'awaiting-welcome') {
    const problem = welcomeProblem(message, hello)
    if (problem !== null) return problem
    return message.dirtyMaps === 0
      ? next({ kind: 'planning', welcome: message }, { kind: 'plan', welcome: message })
      : next({ kind: 'awaiting-dirty-maps', welcome: message, left: message.dirtyMaps })
  }
  if (message.kind === 'dirty-map' && state.kind === 'awaiting-dirty-maps') {
    const { welcome, left } = state
    const known = welcome.mappings.some(
      (one) => one.deviceId === message.deviceId && one.mappingId === message.mappingId,
    )
    if (!known)
      return refuse(
        'protocol',
        `the agent sent a dirty map of the device id ${message.deviceId}, which its welcome does not map`,
      )
    const take: PrimaryHandshakeEffect = { kind: 'take-dirty-map', map: message }
    const plan: PrimaryHandshakeEffect = { kind: 'plan', welcome }
    return left > 1
      ? next({ kind: 'awaiting-dirty-maps', welcome, left: left - 1 }, take)
      : next<PrimaryHandshake, PrimaryHandshakeEffect>({ kind: 'planning', welcome }, take, plan)
  }
  if (message.kind === 'ready' && state.kind === 'awaiting-ready') {
    const { common } = state.resume
    if (message.end[0] !== common[0] || message.end[1] !== common[1]) {
      return refuse('protocol', `the agent is ready at ${show(message.end)}, it was told to resume at ${show(common)}`)
    }
    const { wireVersion } = state.welcome
    return next({ kind: 'established', wireVersion }, { kind: 'established', wireVersion, ready: message })
  }
  return outOfOrder('agent', state.kind, { kind: 'message', message })
}

function welcomeProblem(welcome: Welcome, hello: Hello): Refusal | null {
  if (welcome.wireVersion < hello.wireFloor || welcome.wireVersion > hello.wireVersion) {
    return refuse(
      'wire-version',
      `the agent chose wire version ${welcome.wireVersion}, offered were ${versions(hello.wireFloor, hello.wireVersion)}`,
    )
  }
  if (welcome.epoch !== hello.epoch) {
    return refuse(
      welcome.epoch > hello.epoch ? 'older-epoch' : 'protocol',
      `the agent is in epoch ${welcome.epoch}, this primary in epoch ${hello.epoch}`,
    )
  }
  return mappingsProblem(hello.mappings, welcome.devices)
}
