/**
 * The program `sitelink-agent` with every verb registered; nothing runs until its words are parsed.
 */
import { createProgram, identityCommand, packageVersion, type CliIo, type SitelinkCommand } from '@sitelink/daemon'
import { FRAME_VERSION, WIRE_FLOOR, WIRE_VERSION } from '@sitelink/protocol'
import { SUPERBLOCK_VERSION } from '@sitelink/storage'
import { deviceCommand } from './commands/device.js'
import { eventsCommand } from './commands/events.js'
import { exportCommand } from './commands/export.js'
import { initCommand } from './commands/init.js'
import { inviteCommand } from './commands/invite.js'
import { logCommand } from './commands/log.js'
import { peerCommand } from './commands/peer.js'
import { runCommand } from './commands/run.js'
import { statusCommand } from './commands/status.js'
import { PROGRAM } from './surroundings.js'

/** `io`: where it reads and writes; default the process. */
export function agentProgram(io?: CliIo): SitelinkCommand {
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
  initCommand(program)
  deviceCommand(program)
  runCommand(program)
  inviteCommand(program)
  peerCommand(program)
  identityCommand(program)
  statusCommand(program)
  eventsCommand(program)
  exportCommand(program)
  logCommand(program)
  return program
}
