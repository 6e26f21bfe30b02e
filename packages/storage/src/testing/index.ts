/** Simulated disks, time and randomness for tests and the simulator. Nothing here is used by a running program. */
export * from './fault-disk.js'
export * from './fault-disk-provider.js'
export * from './fault-medium.js'
export * from './fault-plan.js'
export * from './prng.js'
export * from './sim-clock.js'
export * from './sparse-bytes.js'
