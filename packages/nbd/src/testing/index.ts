/**
 * The parsers of the server without their socket, for tests that feed them bytes. Nothing here is used by a program.
 */
export { ByteBudget } from '../byte-budget.js'
export { Handshake, type HandshakeOutcome } from '../handshake.js'
export { Transmission, type Wire } from '../transmission.js'
export type { Session } from '../session.js'
