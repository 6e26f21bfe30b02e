/**
 * Integers in headers that are read and written for every entry, little-endian.
 *
 * A call of a Buffer's own method costs the hot path three times as much: V8 looks its name up each time, because it takes
 * no named property of a typed array into compiled code. So these go by index. They check nothing: whoever calls them
 * knows that the place is within the buffer, and that the value fits.
 */
import { assert } from './assert.js'

const TWO_24 = 0x100_0000
const TWO_32 = 0x1_0000_0000

/** Reads an unsigned integer of 16 bits. */
export function readU16(from: Uint8Array, at: number): number {
  return (from[at] as number) | ((from[at + 1] as number) << 8)
}

/** Reads an unsigned integer of 32 bits. */
export function readU32(from: Uint8Array, at: number): number {
  const low = (from[at] as number) | ((from[at + 1] as number) << 8) | ((from[at + 2] as number) << 16)
  return low + (from[at + 3] as number) * TWO_24
}

/** Reads a u64; a value above 2^53 - 1, which nothing of ours writes, comes back as -1. */
export function readU64(from: Uint8Array, at: number): number {
  const high = readU32(from, at + 4)
  return high > 0x1f_ffff ? -1 : high * TWO_32 + readU32(from, at)
}

/** Writes the low 16 bits of an integer. */
export function writeU16(into: Uint8Array, value: number, at: number): void {
  into[at] = value
  into[at + 1] = value >>> 8
}

/** Writes an integer of 0 .. 2^32 - 1. */
export function writeU32(into: Uint8Array, value: number, at: number): void {
  into[at] = value
  into[at + 1] = value >>> 8
  into[at + 2] = value >>> 16
  into[at + 3] = value >>> 24
}

/** Writes an integer of 0 .. 2^53 - 1 as u64. */
export function writeU64(into: Uint8Array, value: number, at: number): void {
  assert(value >= 0 && value <= Number.MAX_SAFE_INTEGER, 'a number in a header is an exact one')
  const high = Math.floor(value / TWO_32)
  writeU32(into, value - high * TWO_32, at)
  writeU32(into, high, at + 4)
}
