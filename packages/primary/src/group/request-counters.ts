/**
 * Counts of the requests that the devices of a group took since the daemon started. Only ever rises.
 *
 * Owns the numbers, nothing else; who wants them from another moment on subtracts.
 */
export class RequestCounters {
  reads = 0
  /** Reads that were answered with data. */
  readsAnswered = 0
  /** Reads that met bytes that were not on the device yet. */
  readsOfPending = 0
  /** Writes, trims and zeroes. */
  changes = 0
  /** Changes that had to wait: for room in the log, for a suspended group or device, or behind one that waits. */
  changesWaited = 0
  /** Most ranges that the overlay held when a change was taken. */
  intervalsPeak = 0
}
