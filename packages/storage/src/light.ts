/**
 * The light door of this package, for verbs that only ask a daemon: the errors that storage throws and the version of
 * its format, without what throws and writes them.
 */
export * from './disk/disk-error.js'
export { DirtyLogError, type DirtyLogCode } from './dirty/dirty-log-error.js'
export { SUPERBLOCK_VERSION, SUPERBLOCK_VERSION_MIN } from './ring-log/format-version.js'
export { LOG_CODES, LogError, type LogErrorCode, type LogFacts } from './ring-log/log-error.js'
