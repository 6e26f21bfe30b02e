/**
 * Whether both sides hold the same bytes: by SHA-256 of the primary's export, read over NBD, and of the agent's device.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { Cluster } from './cluster.js'

const CHUNK_BYTES = 1024 * 1024

/** SHA-256 of a file or device. */
export async function fileHash(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** SHA-256 of what the primary answers to reads of a whole device. */
export async function exportHash(cluster: Cluster, name: string): Promise<string> {
  const client = await cluster.connect(name)
  try {
    const hash = createHash('sha256')
    const { sizeBytes } = client.info
    for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) {
      hash.update(await client.read(at, Math.min(CHUNK_BYTES, sizeBytes - at)))
    }
    return hash.digest('hex')
  } finally {
    await client.disconnect()
  }
}

/** Waits until a slink is in step and its agent has applied everything, then compares all devices. */
export async function assertSidesEqual(cluster: Cluster, slink = 1): Promise<void> {
  await cluster.applied(slink)
  for (const { name, path } of cluster.agent(slink).devices) {
    assert.equal(await fileHash(path), await exportHash(cluster, name), `both sides of ${name} are equal`)
  }
}
