/**
 * Who is compared: Sitelink with three policies, and its peers.
 *
 * Owns their names, what each needs to be installed, and what each promises when it answers. `start` answers a contender
 * that runs: `uri` of its export, `pids()`, `settle()` (resolves when everything written is flushed, and at every site),
 * `sample()` (facts of the moment) and `stop()`.
 */
import { Pair } from '../lib/pair.mjs'
import { flush } from './nbd.mjs'
import { startMirror, startNbdkit, startQsd, startQuorum } from './peers.mjs'

const sitelink = (name, title, ...words) => ({
  name,
  title,
  needs: [],
  replicates: true,
  ours: true,
  start: (place) => startSitelink(place, words),
})

export const contenders = [
  sitelink('async', 'Sitelink, async: in the log here', '--policy', 'async'),
  sitelink('sync', 'Sitelink, sync (received): in the log here and in the journal there', '--policy', 'sync'),
  sitelink(
    'durable',
    'Sitelink, sync (durable): on stable storage here and there',
    '--policy',
    'sync',
    '--ack',
    'durable',
  ),
  peer('nbdkit', 'nbdkit file: in the file here, no replication', ['nbdkit'], startNbdkit, false),
  peer('qsd', 'qemu-storage-daemon: in the file here, no replication', ['qemu-storage-daemon'], startQsd, false),
  peer(
    'quorum',
    'qemu-storage-daemon, quorum: in the file here and in the file there',
    ['qemu-storage-daemon', 'nbdkit'],
    startQuorum,
    true,
  ),
  peer(
    'mirror',
    'qemu-storage-daemon, write-blocking mirror: in the file here and in the file there, but a flush or FUA covers only here',
    ['qemu-storage-daemon', 'nbdkit'],
    startMirror,
    true,
  ),
]

/** Those that the others are compared with: one without replication, one with. */
export const references = ['nbdkit', 'quorum']

function peer(name, title, needs, start, replicates) {
  return { name, title, needs, replicates, ours: false, start }
}

async function startSitelink({ folder, local, remote, logBytes, journalBytes }, words) {
  const pair = await Pair.start({
    folder,
    devices: [{ name: 'data', path: local, remotePaths: [remote] }],
    agents: [{ words, mapWords: ['--dirty-log', 'disk', '--nosync'] }],
    logBytes,
    journalBytes,
  })
  return {
    uri: pair.uri('data'),
    pids: () => pair.pids,
    async settle() {
      await flush({ path: pair.nbdSocket }, 'data')
      await pair.drain()
      await pair.inStep()
    },
    async sample() {
      const { log, local, slinks } = await pair.status()
      const [slink] = slinks
      return {
        logUsedBytes: log.usedBytes,
        logStalls: log.stalls,
        overlayIntervals: local.intervals,
        lagWrites: slink.lagWrites,
        overflows: slink.overflows,
      }
    },
    stop: () => pair.stop(),
  }
}
