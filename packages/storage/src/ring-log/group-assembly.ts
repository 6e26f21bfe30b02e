/**
 * Turns entries into the bytes of one group, in few pieces.
 *
 * Owns one slab that is reused from group to group: headers and small payloads are copied into it, because a copy of a
 * few KiB costs less than one more element of a vectored write; large payloads go to the disk from where they are. The
 * pieces are valid until the next call, so at most one group is being written at a time.
 */
import { crc32, FRAME_HEADER_BYTES, writeU32 } from '@sitelink/protocol/entry'
import type { LogEntry } from './contract.js'
import { encodeGroupHeader, GROUP_HEADER_BYTES, groupSpan, type GroupFields } from './group.js'
import { COPY_BYTES_MAX } from './limits.js'

export interface AssembledGroup {
  /** In order; together {@link byteCount} bytes, zero fill included. */
  readonly chunks: readonly Buffer[]
  readonly byteCount: number
  readonly headerCrc: number
}

/** The fields of a group whose body is not put together yet: the assembly fills in what follows from it. */
export type GroupDraft = Omit<GroupFields, 'bodyCrc' | 'bodyBytes'> & { bodyCrc: number; bodyBytes: number }

export class GroupAssembly {
  #slab = Buffer.allocUnsafe(64 * 1024)
  #digests = Buffer.allocUnsafe(4 * 256)

  /** A group of entries; fills in the CRC over their header CRCs. */
  data(fields: GroupDraft, entries: readonly LogEntry[]): AssembledGroup {
    let copied = GROUP_HEADER_BYTES
    for (const { frame } of entries) copied += FRAME_HEADER_BYTES + copiedBytes(frame.payload)
    const byteCount = groupSpan(fields.bodyBytes)
    const fill = byteCount - GROUP_HEADER_BYTES - fields.bodyBytes
    const slab = this.#atLeast(copied + fill)
    if (this.#digests.length < entries.length * 4) this.#digests = Buffer.allocUnsafe(entries.length * 8)
    const chunks: Buffer[] = []
    let from = 0
    let at = GROUP_HEADER_BYTES
    let digestAt = 0
    for (const { frame } of entries) {
      slab.set(frame.header, at)
      at += FRAME_HEADER_BYTES
      writeU32(this.#digests, frame.headerCrc, digestAt)
      digestAt += 4
      const { payload } = frame
      if (payload === null) continue
      if (payload.length <= COPY_BYTES_MAX) {
        slab.set(payload, at)
        at += payload.length
      } else {
        chunks.push(slab.subarray(from, at), payload)
        from = at
      }
    }
    slab.fill(0, at, at + fill)
    if (at + fill > from) chunks.push(slab.subarray(from, at + fill))
    fields.bodyCrc = crc32(this.#digests.subarray(0, digestAt))
    const headerCrc = encodeGroupHeader(slab, 0, fields)
    return { chunks, byteCount, headerCrc }
  }

  /** A group with a ready body. */
  body(fields: GroupDraft, body: Buffer): AssembledGroup {
    const byteCount = groupSpan(body.length)
    const slab = this.#atLeast(byteCount)
    slab.set(body, GROUP_HEADER_BYTES)
    slab.fill(0, GROUP_HEADER_BYTES + body.length, byteCount)
    fields.bodyBytes = body.length
    fields.bodyCrc = crc32(body)
    const headerCrc = encodeGroupHeader(slab, 0, fields)
    return { chunks: [slab.subarray(0, byteCount)], byteCount, headerCrc }
  }

  #atLeast(byteCount: number): Buffer {
    if (this.#slab.length < byteCount) this.#slab = Buffer.allocUnsafe(Math.max(byteCount, this.#slab.length * 2))
    return this.#slab
  }
}

function copiedBytes(payload: Buffer | null): number {
  return payload === null || payload.length > COPY_BYTES_MAX ? 0 : payload.length
}
