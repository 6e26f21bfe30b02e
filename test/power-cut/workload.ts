/**
 * What an application does to a mounted filesystem, and what it was promised: two files whose content is known at any
 * moment, among much that nobody counts.
 *
 * The ledger only grows: record n is the same text in every run. The manifest is replaced as a whole: written beside,
 * synced, renamed, the directory synced. Whoever runs the workload does these syncs and is told what they make safe.
 * Every call is asynchronous: the filesystem may be served by this very process.
 */
import { Buffer } from 'node:buffer'
import { open, mkdir, readFile, rename, rm, symlink, link, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from '@sitelink/protocol/entry'
import type { Prng } from '@sitelink/storage/testing'

/** Divides a page, so that no record lies in two. */
const RECORD_BYTES = 256
const MANIFEST_BYTES_MAX = 20_000
const FILES_MAX = 20
const FILE_BYTES_MAX = 160 * 1024

export const LEDGER = 'ledger'
export const MANIFEST = 'manifest'
export const KNOWN_FILES: readonly string[] = [LEDGER, MANIFEST]

export type KnownFile = typeof LEDGER | typeof MANIFEST

/** Runs `sync`; when it has returned, the file has its content up to that record or version for good. */
export type MakeSafe = (file: KnownFile, value: number, sync: () => Promise<unknown>) => Promise<void>

/** Record `n` of the ledger, from 1. */
function record(n: number): Buffer {
  const text = `record ${n} `
  const body = text.repeat(Math.ceil(RECORD_BYTES / text.length)).slice(0, RECORD_BYTES - 9)
  return Buffer.from(`${body}${crc32(Buffer.from(body)).toString(16).padStart(8, '0')}\n`)
}

/** Version `n` of the manifest, from 1; each has another length. */
function manifest(n: number): Buffer {
  return Buffer.from(`version ${n}\n`.repeat(1 + ((n * 37) % Math.floor(MANIFEST_BYTES_MAX / 16))))
}

/** Does one thing after the other in the folder, as long as `goOn` wants; it is asked with the number of the next, from 0. */
export async function useFilesystem(
  folder: string,
  prng: Prng,
  makeSafe: MakeSafe,
  goOn: (step: number) => boolean,
): Promise<void> {
  let records = 0
  let version = 0
  const ledger = await open(join(folder, LEDGER), 'a')
  const directory = await open(folder, 'r')
  try {
    await directory.sync()
    for (let step = 0; goOn(step); step++) {
      if (prng.chance(0.45)) {
        const count = prng.between(1, 24)
        const added = Array.from({ length: count }, () => record(++records))
        await ledger.appendFile(Buffer.concat(added))
        const sync = prng.chance(0.5) ? () => ledger.sync() : () => ledger.datasync()
        if (prng.chance(0.7)) await makeSafe(LEDGER, records, sync)
      } else if (prng.chance(0.25)) {
        await writeSynced(join(folder, `${MANIFEST}.new`), manifest(++version), true)
        await rename(join(folder, `${MANIFEST}.new`), join(folder, MANIFEST))
        await makeSafe(MANIFEST, version, () => directory.sync())
      } else await disturb(folder, prng)
    }
  } finally {
    await ledger.close()
    await directory.close()
  }
}

/** One of the things that keep a filesystem's metadata busy; what is not there cannot be changed, which is no fault. */
async function disturb(folder: string, prng: Prng): Promise<void> {
  const place = join(folder, `folder-${prng.below(6)}`)
  const path = join(place, `file-${prng.below(FILES_MAX)}`)
  const other = join(folder, `folder-${prng.below(6)}`, `file-${prng.below(FILES_MAX)}`)
  const actions: readonly (() => Promise<unknown>)[] = [
    () => writeSynced(path, prng.bytes(prng.below(FILE_BYTES_MAX)), prng.chance(0.4)),
    () => writeSynced(path, prng.bytes(prng.below(FILE_BYTES_MAX)), false),
    () => writeFile(path, prng.bytes(prng.below(9000)), { flag: 'a' }),
    () => truncate(path, prng.below(20_000)),
    () => rename(path, other),
    () => link(path, other),
    () => symlink(path, other),
    () => rm(path),
    () => rm(place, { recursive: true }),
  ]
  await mkdir(place, { recursive: true })
  await prng
    .pick(actions)()
    .catch((error: NodeJS.ErrnoException) => {
      if (!['ENOENT', 'EEXIST', 'EISDIR', 'ELOOP'].includes(error.code ?? '')) throw error
    })
}

async function writeSynced(path: string, bytes: Buffer, sync: boolean): Promise<void> {
  const file = await open(path, 'w')
  try {
    await file.writeFile(bytes)
    if (sync) await file.sync()
  } finally {
    await file.close()
  }
}

/** What was promised before the power went, as counts of records and versions; 0: nothing. */
export interface Owed {
  readonly ledger: number
  readonly manifest: number
}

/**
 * What is wrong with the known files in a recovered filesystem, as sentences. Beyond what was promised the ledger may end
 * anywhere, and a filesystem may show zeros there where it had not written the data yet; but never anything else.
 */
export async function checkKnownFiles(folder: string, owed: Owed): Promise<string[]> {
  const wrong: string[] = []
  const found = await readFile(join(folder, LEDGER)).catch(() => null)
  if (found === null) {
    if (owed.ledger > 0) wrong.push(`the ledger is gone, ${owed.ledger} records were promised`)
  } else wrong.push(...ledgerFaults(found, owed.ledger))
  const shown = await readFile(join(folder, MANIFEST)).catch(() => null)
  if (shown === null) {
    if (owed.manifest > 0) wrong.push(`the manifest is gone, version ${owed.manifest} was promised`)
  } else {
    const version = Number(/^version (\d+)\n/.exec(shown.toString('latin1'))?.[1] ?? 0)
    if (version === 0 || !shown.equals(manifest(version))) wrong.push(`the manifest is damaged (version ${version}?)`)
    else if (version < owed.manifest)
      wrong.push(`the manifest has version ${version}, version ${owed.manifest} was promised`)
  }
  return wrong
}

function ledgerFaults(found: Buffer, promised: number): string[] {
  for (let n = 1; (n - 1) * RECORD_BYTES < Math.max(found.length, promised * RECORD_BYTES); n++) {
    const shown = found.subarray((n - 1) * RECORD_BYTES, n * RECORD_BYTES)
    if (shown.equals(record(n))) continue
    const zeros = shown.length === RECORD_BYTES && shown.every((byte) => byte === 0)
    if (n > promised && zeros) continue
    const what = shown.length === 0 ? 'missing' : zeros ? 'zeros' : `not what was written (${shown.length} bytes)`
    return [`record ${n} of the ledger is ${what}, ${promised} were promised`]
  }
  return []
}
