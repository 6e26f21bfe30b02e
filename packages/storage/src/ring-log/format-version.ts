/** The versions of the log's format: the newest, which a superblock says, and the oldest that is read. */

/** The newest version. */
export const SUPERBLOCK_VERSION = 2
/** The oldest version that is read; written as long as it can say everything. */
export const SUPERBLOCK_VERSION_MIN = 1
