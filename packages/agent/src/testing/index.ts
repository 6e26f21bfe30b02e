/**
 * What meets a stranger at the agent (files of the state directory, verbs of the control socket), for tests that feed it
 * bytes. Nothing here is used by a program.
 */
export { agentProgram } from '../cli/program.js'
export { configFormat } from '../config.js'
export { registerVerbs } from '../control/handlers.js'
export { registerPeerVerbs } from '../control/peer-verbs.js'
export { encodeOwnerState } from '../journal/owner-state.js'
export { Gatekeeper } from '../trust/gatekeeper.js'
export { trustFormat } from '../trust/trust-format.js'
export { NOBODY, type AgentTrust } from '../trust/trust.js'
