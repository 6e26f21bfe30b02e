/**
 * Requests of the transmission phase: parsing, and judging whether the device may see them.
 *
 * Pure. What passes `judge` is in range, aligned, within the limits, allowed by the export and by the negotiation; the
 * device relies on it. What does not pass has an errno and a sentence, and never costs the connection. Nothing is
 * allocated for a request that passes.
 *
 *   magic u32 | flags u16 | type u16 | cookie u64 | offset u64 | length u32 | payload of a write
 */
import { Command, CommandFlag, MAGIC_REQUEST } from './constants.js'
import { NbdErrno, type NbdOperation } from './export.js'
import type { NbdLimits } from './limits.js'
import type { Session } from './session.js'

/** A parsed header; one object a connection, filled anew for each request. */
export class RequestHeader {
  flags = 0
  type = 0
  cookieHigh = 0
  cookieLow = 0
  /** Bytes. Exact up to 2 ** 53; beyond it no export reaches. */
  offset = 0
  /** The low 32 bits of the offset, for alignment. */
  offsetLow = 0
  length = 0

  /** Reads the 28 bytes at `at`. False: they do not begin with the magic of a request. */
  parse(view: Buffer, at: number): boolean {
    if (u32(view, at) !== MAGIC_REQUEST) return false
    this.flags = u16(view, at + 4)
    this.type = u16(view, at + 6)
    this.cookieHigh = u32(view, at + 8)
    this.cookieLow = u32(view, at + 12)
    this.offsetLow = u32(view, at + 20)
    this.offset = u32(view, at + 16) * 2 ** 32 + this.offsetLow
    this.length = u32(view, at + 24)
    return true
  }
}

/** Big-endian, by index: V8 looks up the name of a Buffer's method at each call. */
function u16(from: Uint8Array, at: number): number {
  return ((from[at] as number) << 8) | (from[at + 1] as number)
}

function u32(from: Uint8Array, at: number): number {
  return u16(from, at) * 0x1_0000 + u16(from, at + 2)
}

/** Why a request is answered with an error and not shown to the device. */
export interface Refusal {
  readonly errno: NbdErrno
  readonly sentence: string
}

const refusal = (errno: NbdErrno, sentence: string): Refusal => ({ errno, sentence })

export const refusals = {
  unknownCommand: refusal(NbdErrno.EINVAL, 'the command is unknown'),
  unsupported: refusal(NbdErrno.EINVAL, 'the export does not offer this command'),
  flags: refusal(NbdErrno.EINVAL, 'a flag is unknown, or not allowed for this command'),
  noContext: refusal(NbdErrno.EINVAL, 'no metadata context was selected for this export'),
  readOnly: refusal(NbdErrno.EPERM, 'the export is read-only'),
  empty: refusal(NbdErrno.EINVAL, 'the length is zero'),
  flushRange: refusal(NbdErrno.EINVAL, 'a flush has neither offset nor length'),
  unaligned: refusal(NbdErrno.EINVAL, 'offset or length is not a multiple of the minimum block size'),
  beyondEnd: refusal(NbdErrno.EINVAL, 'the range reaches beyond the end of the export'),
  noSpace: refusal(NbdErrno.ENOSPC, 'the range reaches beyond the end of the export'),
  writeTooLong: refusal(NbdErrno.EINVAL, 'the payload is longer than the advertised maximum'),
  readTooLong: refusal(NbdErrno.EINVAL, 'the length is greater than the advertised maximum payload'),
  readOverflow: refusal(NbdErrno.EOVERFLOW, 'the length is greater than the advertised maximum payload'),
  shutdown: refusal(NbdErrno.ESHUTDOWN, 'the server is shutting down'),
} as const

/** Operations by command number; DISC has none, it is not a request to the device. */
const OPERATIONS: readonly (NbdOperation | null)[] = [
  'read',
  'write',
  null,
  'flush',
  'trim',
  'cache',
  'write-zeroes',
  'block-status',
]

/** The operation of a request that passed `judge`. */
export function operationOf(type: number): NbdOperation | null {
  return OPERATIONS[type] ?? null
}

/** What one session allows: everything that `judge` looks up, precomputed. */
export interface Rules {
  readonly sizeBytes: number
  readonly alignmentMask: number
  readonly payloadBytesMax: number
  readonly readOnly: boolean
  readonly structured: boolean
  /** By command number: a refusal of the command as such, or null. */
  readonly commands: readonly (Refusal | null)[]
  /** By command number: the flags it may carry. */
  readonly flags: readonly number[]
}

export function rulesOf(session: Session, limits: NbdLimits): Rules {
  const target = session.export
  const { FUA, DF, NO_HOLE, FAST_ZERO, REQ_ONE } = CommandFlag
  const commands: (Refusal | null)[] = OPERATIONS.map(() => null)
  commands[Command.DISC] = refusals.unknownCommand
  if (target.readOnly) {
    for (const type of [Command.WRITE, Command.TRIM, Command.WRITE_ZEROES]) commands[type] = refusals.readOnly
  } else {
    if (!target.canTrim) commands[Command.TRIM] = refusals.unsupported
    if (!target.canWriteZeroes) commands[Command.WRITE_ZEROES] = refusals.unsupported
  }
  if (!session.allocationContext) commands[Command.BLOCK_STATUS] = refusals.noContext
  // FUA is accepted everywhere, as the protocol demands of a server that offers it.
  const flags = OPERATIONS.map(() => FUA as number)
  if (session.structured) flags[Command.READ] = FUA | DF
  flags[Command.WRITE_ZEROES] = FUA | NO_HOLE | FAST_ZERO
  flags[Command.BLOCK_STATUS] = FUA | REQ_ONE
  return {
    sizeBytes: target.sizeBytes,
    alignmentMask: target.minimumBlockBytes - 1,
    payloadBytesMax: limits.payloadBytesMax,
    readOnly: target.readOnly,
    structured: session.structured,
    commands,
    flags,
  }
}

/** Null when the device may see the request. Not for DISC. */
export function judge(header: RequestHeader, rules: Rules): Refusal | null {
  const { type, length } = header
  const command = rules.commands[type]
  if (command === undefined) return refusals.unknownCommand
  if (command !== null) return command
  if ((header.flags & ~(rules.flags[type] ?? 0)) !== 0) return refusals.flags
  if (type === Command.FLUSH) return header.offset === 0 && length === 0 ? null : refusals.flushRange
  if (type === Command.WRITE && length > rules.payloadBytesMax) return refusals.writeTooLong
  if (((header.offsetLow | length) & rules.alignmentMask) !== 0) return refusals.unaligned
  if (header.offset > rules.sizeBytes - length) {
    return type === Command.WRITE || type === Command.WRITE_ZEROES ? refusals.noSpace : refusals.beyondEnd
  }
  if (length === 0) return refusals.empty
  if (type === Command.READ && length > rules.payloadBytesMax) {
    return rules.structured ? refusals.readOverflow : refusals.readTooLong
  }
  return null
}
