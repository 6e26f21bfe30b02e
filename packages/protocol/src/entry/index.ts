/** Entry frames and what they are made of: the part of the protocol that storage may use. */
export * from './assert.js'
export * from './clock.js'
export * from './crc.js'
export * from './frame.js'
export * from './frame-scanner.js'
export * from './limits.js'
export * from './lsn.js'
export * from './payload-memory.js'
