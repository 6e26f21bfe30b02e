/**
 * The temporary folder of a run, and the device files in it.
 *
 * Owns the folder: it is removed by `removePlaces`, at the latest when this process ends. Device files are written once,
 * with bytes that are not zeros, and synced, so that no contender allocates blocks or finds holes while it is measured.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesText } from './figures.mjs'

const MIB = 1024 * 1024
const BLOCK = 4096

const places = new Set()
process.on('exit', removePlaces)

/** A new empty folder in `below`, for a run that needs `bytes` of room there; throws where there is less. */
export function makePlace(below = tmpdir(), bytes = 0) {
  const { bavail, bsize } = statfsSync(below)
  if (bavail * bsize < bytes) {
    const free = bytesText(bavail * bsize)
    const why = `this run needs ${bytesText(bytes)} in ${below} and there are ${free}: name another folder with --dir DIR`
    throw Object.assign(new Error(why), { exitStatus: 1 })
  }
  const folder = mkdtempSync(join(below, 'sitelink-bench-'))
  places.add(folder)
  return folder
}

/** Removes every folder that {@link makePlace} made. */
export function removePlaces() {
  for (const folder of places) rmSync(folder, { recursive: true, force: true })
  places.clear()
}

/** Writes a device file of so many bytes once from end to end, and syncs it. The same size is the same content. */
export function makeDevice(path, bytes) {
  const block = Buffer.alloc(MIB)
  for (let at = 0, state = 0x9e3779b9; at < MIB; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    block.writeUInt32LE(state, at)
  }
  const file = openSync(path, 'w')
  try {
    for (let at = 0; at < bytes; at += MIB) {
      block.writeUInt32LE(at / MIB, 0)
      writeSync(file, block, 0, Math.min(MIB, bytes - at), at)
    }
    fdatasyncSync(file)
  } finally {
    closeSync(file)
  }
}

/**
 * Syncs a file, whoever wrote it, lets the page cache forget it and brings it in again: afterwards nothing of it is dirty, and it is
 * cached where it fits, in pieces of the same size whoever had it before. A small write costs by the size of its piece.
 * `pieces`: '1m' or '4k', as writes of that size leave it; or 'read', as reading in order does: how large they are then is up to what the system
 * reads ahead, a setting of each disk.
 */
export function settleFile(path, { pieces = '1m' } = {}) {
  const file = openSync(path, 'r+')
  try {
    fdatasyncSync(file)
  } finally {
    closeSync(file)
  }
  const read = 'dd if="$1" bs=1M status=none'
  const write = `dd of="$1" iflag=fullblock bs=${pieces === '4k' ? '4k' : '1M'} conv=notrunc,fdatasync status=none`
  const bring = pieces === 'read' ? `${read} of=/dev/null` : `${read} iflag=direct | ${write}`
  const script = `dd if="$1" iflag=nocache count=0 status=none; ${bring}`
  const { status, error } = spawnSync('bash', ['-e', '-o', 'pipefail', '-c', script, 'bash', path], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0) throw new Error(`${path} cannot be brought into the page cache${error ? `: ${error.message}` : ''}`)
}

/** Whether two files hold the same bytes; if not, the offset of the first 4 KiB that differ, and how many such blocks do. */
export function compareFiles(one, other) {
  let first = null
  let blocks = 0
  const files = [openSync(one, 'r'), openSync(other, 'r')]
  const buffers = [Buffer.allocUnsafe(MIB), Buffer.allocUnsafe(MIB)]
  try {
    for (let at = 0, more = true; more; at += MIB) {
      const [a, b] = files.map((file, index) => readSync(file, buffers[index], 0, MIB, at))
      more = a === MIB && b === MIB
      if (a === b && buffers[0].compare(buffers[1], 0, b, 0, a) === 0) continue
      for (let block = 0; block < Math.max(a, b); block += BLOCK) {
        const end = Math.min(block + BLOCK, Math.max(a, b))
        if (a === b && buffers[0].compare(buffers[1], block, end, block, end) === 0) continue
        first ??= at + block
        blocks++
      }
    }
    return { equal: blocks === 0, at: first, blocks }
  } finally {
    for (const file of files) closeSync(file)
  }
}
