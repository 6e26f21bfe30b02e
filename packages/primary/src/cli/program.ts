/**
 * The program `sitelink` with every verb registered; nothing runs until its words are parsed.
 */
import { createProgram, identityCommand, packageVersion, type CliIo, type SitelinkCommand } from '@sitelink/daemon'
import { FRAME_VERSION, WIRE_FLOOR, WIRE_VERSION } from '@sitelink/protocol'
import { SUPERBLOCK_VERSION } from '@sitelink/storage'
import { deviceCommand } from './commands/device.js'
import { initCommand } from './commands/init.js'
import { logCommand } from './commands/log.js'
import { messageCommand } from './commands/message.js'
import { peerCommand } from './commands/peer.js'
import { resyncCommand } from './commands/resync.js'
import { runCommand } from './commands/run.js'
import { slinkCommand } from './commands/slink.js'
import { statusCommand } from './commands/status.js'
import { tableCommand } from './commands/table.js'
import { verifyCommand } from './commands/verify.js'
import { PROGRAM } from './open-state.js'

/** `io`: where it reads and writes; default the process. */
export function sitelinkProgram(io?: CliIo): SitelinkCommand {
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
  initCommand(program)
  runCommand(program)
  deviceCommand(program)
  slinkCommand(program)
  peerCommand(program)
  identityCommand(program)
  statusCommand(program)
  resyncCommand(program)
  verifyCommand(program)
  logCommand(program)
  tableCommand(program)
  messageCommand(program)
  return program
}
