/** Durable things on local disks: ring log, dirty logs, devices, write-back. Knows no sockets. */
export * from './disk/disk.js'
export * from './disk/disk-error.js'
export * from './device/block-device.js'
export * from './ring-log/contract.js'
export * from './write-back/contract.js'
