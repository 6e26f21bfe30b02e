/**
 * The room's door: an NBD server over a device interface, and a client for tests and tools.
 */
export * from './export.js'
export { AssertionError } from './assert.js'
export { type ConnectOptions, NbdClient, type WriteOptions, type ZeroOptions } from './client.js'
export { type ClientErrorKind, errnoName, NbdClientError } from './client-error.js'
export { type EnteredExport, type ExportInfo, type ListedExport, NbdNegotiation } from './client-negotiation.js'
export type { Timer } from './connection.js'
export type { ConnectionReport, NbdEvent } from './events.js'
export { defaultLimits, type NbdLimits, resolveLimits } from './limits.js'
export { MemoryExport, type MemoryExportOptions } from './memory-export.js'
export { type CloseResult, type ListenAddress, NbdServer, type NbdServerOptions } from './server.js'
export type { WaitReason } from './admission.js'
export { ListenError } from './listen-error.js'
