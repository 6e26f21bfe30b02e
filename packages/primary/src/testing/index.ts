/**
 * What meets a stranger at the primary (files of the state directory, verbs of the control socket, dm's words), for tests that feed it
 * bytes. Nothing here is used by a program.
 */
export { sitelinkProgram } from '../cli/program.js'
export { configFormat, peersFormat } from '../cli/open-state.js'
export { registerVerbs } from '../control/handlers.js'
export { printTable } from '../dm/table.js'
export { registerPeerVerbs } from '../control/peer-verbs.js'
export { AgentLinks } from '../trust/agent-links.js'
export { NO_PINS, pinsFormat, type Pins } from '../trust/pins.js'
