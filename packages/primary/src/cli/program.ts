/**
 * The program `sitelink` with the verb that is asked for, or all of them; nothing runs until its words are parsed.
 */
import {
  createProgram,
  identityCommand,
  packageVersion,
  registerVerbs,
  type CliIo,
  type SitelinkCommand,
  type VerbSource,
} from '@sitelink/daemon/light'
import { FRAME_VERSION, WIRE_FLOOR, WIRE_VERSION } from '@sitelink/protocol/light'
import { SUPERBLOCK_VERSION } from '@sitelink/storage/light'
import { PROGRAM } from './ask-daemon.js'

/** In the order of the help. */
const VERBS: readonly VerbSource[] = [
  { verbs: ['init'], load: async () => (await import('./commands/init.js')).initCommand },
  { verbs: ['run'], load: async () => (await import('./commands/run.js')).runCommand },
  { verbs: ['device'], load: async () => (await import('./commands/device.js')).deviceCommand },
  { verbs: ['slink'], load: async () => (await import('./commands/slink.js')).slinkCommand },
  { verbs: ['peer'], load: async () => (await import('./commands/peer.js')).peerCommand },
  { verbs: ['identity'], load: async () => identityCommand },
  { verbs: ['status', 'events'], load: async () => (await import('./commands/status.js')).statusCommand },
  { verbs: ['resync', 'drain'], load: async () => (await import('./commands/resync.js')).resyncCommand },
  { verbs: ['verify'], load: async () => (await import('./commands/verify.js')).verifyCommand },
  { verbs: ['log'], load: async () => (await import('./commands/log.js')).logCommand },
  { verbs: ['table'], load: async () => (await import('./commands/table.js')).tableCommand },
  { verbs: ['message'], load: async () => (await import('./commands/message.js')).messageCommand },
]

/** For `argv`, without node and script: with the verb that it asks for, or all. `io`: where it reads and writes; default the process. */
export async function sitelinkProgram(argv: readonly string[], io?: CliIo): Promise<SitelinkCommand> {
  const program = createProgram({
    ...(io === undefined ? {} : { io }),
    name: PROGRAM,
    description:
      'replicates groups of block devices to remote sites, in write order: the primary and its administration',
    versions: {
      product: packageVersion(new URL('../../../package.json', import.meta.url)),
      formats: [
        { name: 'wire protocol', version: WIRE_VERSION, floor: WIRE_FLOOR },
        { name: 'entry frame', version: FRAME_VERSION, floor: FRAME_VERSION },
        { name: 'replog', version: SUPERBLOCK_VERSION, floor: SUPERBLOCK_VERSION },
      ],
    },
  })
  await registerVerbs(program, VERBS, argv)
  return program
}
