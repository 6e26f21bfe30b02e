/**
 * Whole reads and writes over file descriptors: what the kernel did short is carried on.
 *
 * Owns the loops around `read` and `writev`; knows no sizes, locks or policies. Errors are the system's own.
 */
import * as fs from 'node:fs'

/** The kernel takes at most so many buffers a call (IOV_MAX). */
const VECTOR_MAX = 1024
/** A piece of zeros to write from; never written to. */
const ZEROS = Buffer.alloc(1024 * 1024)

/** Fills `into` from `position`; answers how many bytes there were, fewer only at the end of the file. */
export async function readFully(fd: number, into: Buffer, position: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const got = await readSome(fd, into, done, position + done)
    if (got === 0) break
    done += got
  }
  return done
}

/** Writes all of the buffers, one after the other, from `position`. */
export async function writeFully(fd: number, chunks: readonly Buffer[], position: number): Promise<void> {
  let first = 0
  let skip = 0
  let at = position
  while (first < chunks.length) {
    const head = chunks[first] as Buffer
    if (head.length === skip) {
      first++
      skip = 0
      continue
    }
    const batch = chunks.slice(first, first + VECTOR_MAX)
    if (skip > 0) batch[0] = head.subarray(skip)
    let written = await writeSome(fd, batch, at)
    at += written
    // Find the place where the kernel stopped: usually behind the last buffer.
    for (const chunk of batch) {
      if (written < chunk.length) {
        skip = (chunk === batch[0] ? skip : 0) + written
        break
      }
      written -= chunk.length
      first++
      skip = 0
    }
  }
}

/** Writes zeros over a range; `progress` hears how many bytes are done. */
export async function writeZerosFully(
  fd: number,
  offset: number,
  length: number,
  progress?: (bytes: number) => void,
): Promise<void> {
  for (let done = 0; done < length;) {
    const piece = ZEROS.subarray(0, Math.min(ZEROS.length, length - done))
    await writeFully(fd, [piece], offset + done)
    done += piece.length
    progress?.(done)
  }
}

/** fdatasync: the data, and of the metadata what reading it back needs. */
export function dataSync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fdatasync(fd, (error) => (error === null ? resolve() : reject(error)))
  })
}

function readSome(fd: number, into: Buffer, at: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, at, into.length - at, position, (error, bytes) =>
      error === null ? resolve(bytes) : reject(error),
    )
  })
}

function writeSome(fd: number, chunks: readonly Buffer[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const done = (error: NodeJS.ErrnoException | null, bytes: number): void => {
      if (error !== null) reject(error)
      else if (bytes === 0) reject(Object.assign(new Error('write: nothing was written'), { code: 'EIO' }))
      else resolve(bytes)
    }
    const [only] = chunks
    if (chunks.length === 1 && only !== undefined) fs.write(fd, only, 0, only.length, position, done)
    else fs.writev(fd, chunks as Buffer[], position, done)
  })
}
