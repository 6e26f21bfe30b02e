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
  const rest = new Rest(chunks, position)
  for (let batch = rest.next(); batch !== null; batch = rest.next()) rest.wrote(await writeSome(fd, batch, rest.at))
}

/** As {@link writeFully}, in the calling thread. Throws what the system says. */
export function writeFullySync(fd: number, chunks: readonly Buffer[], position: number): void {
  const only = chunks.length === 1 ? (chunks[0] as Buffer) : null
  const done = only === null ? 0 : fs.writeSync(fd, only, 0, only.length, position)
  if (only !== null && done === only.length) return
  const rest = new Rest(chunks, position)
  rest.wrote(done)
  for (let batch = rest.next(); batch !== null; batch = rest.next()) {
    const bytes = fs.writevSync(fd, batch, rest.at)
    if (bytes === 0) throw nothingWritten()
    rest.wrote(bytes)
  }
}

/** What of some buffers is still to be written: the kernel may stop anywhere. */
class Rest {
  /** Where the next batch goes. */
  at: number
  readonly #chunks: readonly Buffer[]
  #first = 0
  /** Bytes of the first buffer that are written. */
  #skip = 0

  constructor(chunks: readonly Buffer[], position: number) {
    this.#chunks = chunks
    this.at = position
  }

  /** The buffers of the next call, or null when all is written. */
  next(): readonly Buffer[] | null {
    const chunks = this.#chunks
    while (this.#first < chunks.length && (chunks[this.#first] as Buffer).length === this.#skip) this.#step()
    if (this.#first === chunks.length) return null
    if (this.#first === 0 && this.#skip === 0 && chunks.length <= VECTOR_MAX) return chunks
    const batch = chunks.slice(this.#first, this.#first + VECTOR_MAX)
    if (this.#skip > 0) batch[0] = (batch[0] as Buffer).subarray(this.#skip)
    return batch
  }

  wrote(bytes: number): void {
    this.at += bytes
    let left = bytes
    while (left > 0) {
      const head = (this.#chunks[this.#first] as Buffer).length - this.#skip
      if (left < head) {
        this.#skip += left
        return
      }
      left -= head
      this.#step()
    }
  }

  #step(): void {
    this.#first++
    this.#skip = 0
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
      else if (bytes === 0) reject(nothingWritten())
      else resolve(bytes)
    }
    const [only] = chunks
    if (chunks.length === 1 && only !== undefined) fs.write(fd, only, 0, only.length, position, done)
    else fs.writev(fd, chunks as Buffer[], position, done)
  })
}

function nothingWritten(): Error {
  return Object.assign(new Error('write: nothing was written'), { code: 'EIO' })
}
