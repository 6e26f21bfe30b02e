/**
 * The reference of a resync: nbdcopy from one file to another, each behind a file server of nbdkit.
 *
 * The source is reached over a Unix socket and the destination over loopback TCP, as local devices and a site are. The
 * copy ends with a flush, because what a resync calls clean is on stable storage too. The servers run only for one copy.
 */
import { closeSync, ftruncateSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { freePort, mustRun, Program } from './processes.mjs'

/** Copies a file over another and answers the milliseconds of the copying process. `holes`: what is a hole is left alone. */
export async function nbdcopyMs({ folder, from, to, holes = false }) {
  const socket = join(folder, 'nbdkit.sock')
  // A server that ended leaves its socket behind.
  rmSync(socket, { force: true })
  const port = await freePort()
  const servers = [
    new Program('nbdkit (source)', 'nbdkit', ['-f', '-r', '-U', socket, 'file', from]),
    new Program('nbdkit (destination)', 'nbdkit', ['-f', '-i', '127.0.0.1', '-p', String(port), 'file', to]),
  ]
  try {
    for (const [at, address] of [{ path: socket }, { host: '127.0.0.1', port }].entries())
      await servers[at].ready(() => answers(address))
    const words = ['--flush', ...(holes ? ['--destination-is-zero'] : [])]
    const beganMs = performance.now()
    await mustRun('nbdcopy', [...words, `nbd+unix:///?socket=${socket}`, `nbd://127.0.0.1:${port}`])
    return performance.now() - beganMs
  } finally {
    for (const server of servers) await server.stop()
  }
}

function answers(address) {
  return new Promise((resolve) => {
    const socket = connect(address, () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

/** Makes a file of the same size that holds only these ranges of another, and holes between them. */
export function copyOfRanges(from, to, sizeBytes, ranges) {
  const [source, target] = [openSync(from, 'r'), openSync(to, 'w')]
  try {
    ftruncateSync(target, sizeBytes)
    for (const { offset, length } of ranges) {
      const bytes = Buffer.allocUnsafe(length)
      readSync(source, bytes, 0, length, offset)
      writeSync(target, bytes, 0, length, offset)
    }
  } finally {
    closeSync(source)
    closeSync(target)
  }
}
