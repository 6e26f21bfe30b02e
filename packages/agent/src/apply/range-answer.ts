/**
 * What a range of a device reads as now, for a verify: its digest, or why there is none.
 *
 * Owns nothing. The read goes through write-back, so that it sees what is applied and not yet on the device. That it sees
 * nothing later is the applier's doing: nothing is noted while it is under way.
 */
import { rangeDigest, type RangeAnswer, type VerifiedRange } from '@sitelink/protocol'
import { whyUnreadable, type WriteBack } from '@sitelink/storage'

/** `mapped`: the mapping whose frames are being applied; null where there is none. Never rejects. */
export async function rangeAnswer(
  writeBack: Pick<WriteBack, 'read'>,
  mapped: { readonly sizeBytes: number } | null,
  { deviceId, offset, length }: VerifiedRange,
): Promise<RangeAnswer> {
  if (mapped === null) return { digest: null, problem: `device ${deviceId} is not mapped to this agent` }
  if (offset + length > mapped.sizeBytes)
    return { digest: null, problem: `the device has ${mapped.sizeBytes} bytes, the range ends at ${offset + length}` }
  try {
    return { digest: rangeDigest(await writeBack.read(deviceId, offset, length)), problem: null }
  } catch (error) {
    return { digest: null, problem: whyUnreadable(error) }
  }
}
