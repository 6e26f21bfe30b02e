/**
 * The peers: nbdkit and qemu-storage-daemon, started on the same device files as Sitelink.
 *
 * Owns the words that they are called with. All of them serve NBD on a Unix socket and write through the page cache, as
 * Sitelink does; the remote side is always nbdkit's file plugin on loopback TCP, in a process of its own.
 */
import { join } from 'node:path'
import { freePort, Program, until } from '../lib/processes.mjs'
import { canConnect, flush } from './nbd.mjs'
import { Qmp } from './qmp.mjs'

const EXPORT = 'data'

/** nbdkit serves the file. */
export async function startNbdkit({ folder, local }) {
  const socket = join(folder, 'nbdkit.sock')
  const program = new Program('nbdkit', 'nbdkit', ['-f', '--exit-with-parent', '-U', socket, 'file', local])
  return served([program], { path: socket }, '')
}

/** qemu-storage-daemon serves the file, with no replication. */
export async function startQsd({ folder, local }) {
  return startDaemon(folder, [fileNode(local)], 'local')
}

/** qemu-storage-daemon: a quorum of the file and a remote NBD export. A write is done when both have it. */
export async function startQuorum({ folder, local, remote }) {
  const site = await startSite(remote)
  const quorum = {
    driver: 'quorum',
    'node-name': 'both',
    children: ['local', 'remote'],
    'vote-threshold': 2,
    // Reads come from the first child; otherwise each of them would ask both and compare.
    'read-pattern': 'fifo',
  }
  return startDaemon(folder, [fileNode(local), site.node, quorum], 'both', [site.program])
}

/** qemu-storage-daemon: the file, with a mirror job that makes every write wait for a remote NBD export. */
export async function startMirror({ folder, local, remote }) {
  const site = await startSite(remote)
  const monitor = join(folder, 'qmp.sock')
  const words = ['--chardev', `socket,id=qmp,path=${monitor},server=on,wait=off`, '--monitor', 'chardev=qmp']
  const running = await startDaemon(folder, [fileNode(local), site.node], 'local', [site.program], words)
  const qmp = await Qmp.connect(monitor)
  // Both sides are equal: nothing is copied before.
  const job = { 'job-id': 'mirror', device: 'local', target: 'remote', sync: 'none', 'copy-mode': 'write-blocking' }
  await qmp.execute('blockdev-mirror', job)
  await until('the mirror to be ready', async () => {
    const [state] = await qmp.execute('query-jobs')
    if (state?.status === 'concluded' || state === undefined) throw new Error(`the mirror ended: ${state?.error}`)
    return state.status === 'ready'
  })
  qmp.close()
  return running
}

function fileNode(path) {
  return { driver: 'file', 'node-name': 'local', filename: path, aio: 'threads' }
}

/** The remote site: an NBD server on loopback, and the node that reaches it. */
async function startSite(path) {
  const port = await freePort()
  const words = ['-f', '--exit-with-parent', '-i', '127.0.0.1', '-p', String(port), 'file', path]
  const program = new Program('the remote nbdkit', 'nbdkit', words)
  await program.ready(() => canConnect({ host: '127.0.0.1', port }, ''))
  const server = { type: 'inet', host: '127.0.0.1', port: String(port) }
  return { program, node: { driver: 'nbd', 'node-name': 'remote', server } }
}

function startDaemon(folder, nodes, exported, more = [], words = []) {
  const socket = join(folder, 'qsd.sock')
  const all = [...words, ...nodes.flatMap((node) => ['--blockdev', JSON.stringify(node)])]
  all.push('--nbd-server', `addr.type=unix,addr.path=${socket}`)
  all.push('--export', `type=nbd,id=export,node-name=${exported},name=${EXPORT},writable=on`)
  const program = new Program('qemu-storage-daemon', 'qemu-storage-daemon', all)
  return served([program, ...more], { path: socket }, EXPORT)
}

/** What is known of a contender that runs. `programs` are stopped in their order. */
async function served(programs, address, name) {
  await programs[0].ready(() => canConnect(address, name))
  return {
    uri: `nbd+unix:///${name}?socket=${address.path}`,
    pids: () => programs.map(({ pid }) => pid),
    settle: () => flush(address, name),
    sample: async () => ({}),
    async stop() {
      for (const program of programs) await program.stop()
    },
  }
}
