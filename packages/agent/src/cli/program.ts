/**
 * The program `sitelink-agent` with the verb that is asked for, or all of them; nothing runs until its words are parsed.
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
import { PROGRAM } from './surroundings.js'

/** In the order of the help. */
const VERBS: readonly VerbSource[] = [
  { verbs: ['init'], load: async () => (await import('./commands/init.js')).initCommand },
  { verbs: ['device'], load: async () => (await import('./commands/device.js')).deviceCommand },
  { verbs: ['run'], load: async () => (await import('./commands/run.js')).runCommand },
  { verbs: ['invite'], load: async () => (await import('./commands/invite.js')).inviteCommand },
  { verbs: ['peer'], load: async () => (await import('./commands/peer.js')).peerCommand },
  { verbs: ['identity'], load: async () => identityCommand },
  { verbs: ['status'], load: async () => (await import('./commands/status.js')).statusCommand },
  { verbs: ['events'], load: async () => (await import('./commands/events.js')).eventsCommand },
  { verbs: ['export'], load: async () => (await import('./commands/export.js')).exportCommand },
  { verbs: ['log'], load: async () => (await import('./commands/log.js')).logCommand },
]

/** For `argv`, without node and script: with the verb that it asks for, or all. `io`: where it reads and writes; default the process. */
export async function agentProgram(argv: readonly string[], io?: CliIo): Promise<SitelinkCommand> {
  const program = createProgram({
    ...(io === undefined ? {} : { io }),
    name: PROGRAM,
    description:
      'the remote side of Sitelink: takes the writes of a primary, journals them, and keeps copies of its devices',
    versions: {
      product: packageVersion(new URL('../../../package.json', import.meta.url)),
      formats: [
        { name: 'wire protocol', version: WIRE_VERSION, floor: WIRE_FLOOR },
        { name: 'entry frame', version: FRAME_VERSION, floor: FRAME_VERSION },
        { name: 'journal', version: SUPERBLOCK_VERSION, floor: SUPERBLOCK_VERSION },
      ],
    },
  })
  await registerVerbs(program, VERBS, argv)
  return program
}
