/**
 * The versions of the wire that this release speaks.
 *
 * Owns two numbers and their history. A test pins a hash of every message shape and of the frame's layout to
 * {@link WIRE_VERSION}, so that neither can change without a line here. Peers speak the highest version that both know;
 * a peer whose floor lies above it is refused with a sentence (docs/internals/handshake.md).
 *
 *   1  the first: frames of 96 header bytes, control messages as in control/messages.ts
 *   2  `packed` frames, and the message `codecs` by which an agent says which of them it reads
 *   3  `verify` and `verified`: digests of ranges at one place of the stream
 *   4  `sync`: the agent's journal is made durable when the primary wants it, or in its own time
 */

/** Highest wire version that this release speaks. */
export const WIRE_VERSION = 4

/** From this version on an agent says `codecs`, and packed frames may come. */
export const WIRE_PACKED = 2

/** From this version on an agent answers `verify`. */
export const WIRE_VERIFY = 3

/** From this version on the primary says `sync`; an older one counts on a sync behind all that it sends. */
export const WIRE_SYNC = 4

/** Lowest wire version that this release still speaks. */
export const WIRE_FLOOR = 1
