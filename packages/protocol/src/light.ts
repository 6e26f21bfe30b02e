/**
 * The light door of this package, for verbs that only ask a daemon: versions, limits, errors, addresses and tokens,
 * without sessions and transports.
 */
export * from './entry/assert.js'
export * from './entry/frame.js'
export * from './entry/limits.js'
export * from './enrol/token.js'
export * from './errors.js'
export * from './limits.js'
export * from './transport/address.js'
export type { CompressionMode } from './session/compression-policy.js'
export { KEYED_SCHEMES } from './transport/keyed.js'
export { QUIC_MODES, type QuicMode } from './transport/quic-mode.js'
export { isFingerprint } from './transport/shown-keys.js'
export * from './version.js'
