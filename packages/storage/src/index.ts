/** Durable things on local disks: ring log, dirty logs, devices, write-back. Knows no sockets. */
export * from './disk/disk.js'
export * from './disk/disk-error.js'
export { ffiProblem } from './disk/ffi.js'
export { NodeDisk } from './disk/node-disk.js'
export { NodeDiskProvider } from './disk/node-disk-provider.js'
export * from './device/block-device.js'
export { DEVICE_BLOCK_BYTES, FileDevice, openBlockDevice } from './device/file-device.js'
export * from './dirty/dirty-bitmap.js'
export * from './dirty/dirty-log.js'
export * from './dirty/dirty-log-error.js'
export { DirtyLogError, type DirtyLogCode } from './dirty/dirty-log-error.js'
export { dirtyLogStoreBytes, IDENTITY_TEXT_BYTES_MAX, type DirtyLogIdentity } from './dirty/dirty-log-format.js'
export type { DirtyLogFound } from './dirty/dirty-log-open.js'
export type { DirtyLogPlace } from './dirty/dirty-log-store.js'
export * from './ring-log/contract.js'
export { LOG_CODES, LogError, type LogErrorCode, type LogFacts } from './ring-log/log-error.js'
export { LOG_BYTES_MIN, RECENT_BYTES_DEFAULT, REGION_UNIT_BYTES, SYNC_DELAY_MS_DEFAULT } from './ring-log/limits.js'
export {
  checkLog,
  inspectLog,
  listLog,
  type LogCheck,
  type LogInspection,
  type LogProblem,
} from './ring-log/inspect.js'
export { openRingLog, type OpenedLog, type OpenLogOptions } from './ring-log/open.js'
export * from './write-back/contract.js'
export { ringLimits, WRITE_BACK_LIMITS, type WriteBackLimits } from './write-back/limits.js'
export type { LostRange } from './write-back/lost-ranges.js'
export { whyUnreadable, WriteBackReadError, type ReadFailureReason } from './write-back/read.js'
export { WriteBackStopped } from './write-back/stopped.js'
export { LayeredWriteBack, type WriteBackOptions } from './write-back/write-back.js'
export { SUPERBLOCK_VERSION, SUPERBLOCK_VERSION_MIN } from './ring-log/format-version.js'
