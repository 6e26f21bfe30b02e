/**
 * A look at a path before it becomes a device: it must be there, a file or block device, not held by anybody, and have
 * a size. Nothing is written.
 */
import { openBlockDevice, type DiskProvider } from '@sitelink/storage'

/** Size in bytes, a multiple of 512. Rejects with a disk error that names the path. */
export async function probeDevice(disks: DiskProvider, path: string): Promise<number> {
  const device = await openBlockDevice(disks, path, { exclusive: true })
  const { sizeBytes } = device
  await device.close()
  return sizeBytes
}
