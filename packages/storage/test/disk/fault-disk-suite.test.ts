import { describe } from 'node:test'
import { FaultDisk, Prng, seedFromEnv } from '../../src/testing/index.js'
import { diskSuite, SUITE_DISK_BYTES } from './disk-suite.js'

const seed = seedFromEnv('fault-disk-suite')

describe('FaultDisk as a disk', () => {
  diskSuite(() => Promise.resolve(new FaultDisk({ sizeBytes: SUITE_DISK_BYTES, prng: new Prng(seed) })), seed)
})

describe('FaultDisk that cannot tell holes', () => {
  diskSuite(() => Promise.resolve(new FaultDisk({ sizeBytes: SUITE_DISK_BYTES, sparse: false })), seed)
})
