/**
 * Limits of the entry frame, each with its unit last and its reason. Relations between them are asserted here, once.
 */
import { assert } from './assert.js'

/** Multiples of this on a device are never crossed by a `write` or `copy`: regions are powers of two of at least this. */
export const ENTRY_BOUNDARY_BYTES = 1024 * 1024

/** Largest payload of a `write` or `copy` entry. */
export const ENTRY_PAYLOAD_BYTES_MAX = 1024 * 1024

/** Largest payload of any frame: a bound for the decoder, which checks it before it waits for or allocates anything. */
export const FRAME_PAYLOAD_BYTES_MAX = 1024 * 1024

/** Largest range of one `zeroes` or `trim` entry, so that one entry touches a bounded number of regions. */
export const RANGE_BYTES_MAX = 1024 * 1024 * 1024

/** Device ids run from 1 and are never reused within a group. */
export const DEVICE_ID_MAX = 0xffff_ffff

assert(ENTRY_PAYLOAD_BYTES_MAX <= ENTRY_BOUNDARY_BYTES, 'a write entry fits between two boundaries')
assert(ENTRY_PAYLOAD_BYTES_MAX <= FRAME_PAYLOAD_BYTES_MAX, 'a write entry fits into a frame')
assert(RANGE_BYTES_MAX % ENTRY_BOUNDARY_BYTES === 0, 'ranges split on boundaries')
