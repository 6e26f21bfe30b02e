/**
 * The program `sitelink`: registers every verb and runs the one that was asked for.
 */
import { createProgram, identityCommand, packageVersion, runMain } from '@sitelink/daemon'
import { FRAME_VERSION, WIRE_FLOOR, WIRE_VERSION } from '@sitelink/protocol'
import { SUPERBLOCK_VERSION, SUPERBLOCK_VERSION_MIN } from '@sitelink/storage'
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
import { PROGRAM } from './open-state.js'

const program = createProgram({
  name: PROGRAM,
  description: 'replicates groups of block devices to remote sites, in write order: the primary and its administration',
  versions: {
    product: packageVersion(new URL('../../../package.json', import.meta.url)),
    formats: [
      { name: 'wire protocol', version: WIRE_VERSION, floor: WIRE_FLOOR },
      { name: 'entry frame', version: FRAME_VERSION, floor: FRAME_VERSION },
      { name: 'replog', version: SUPERBLOCK_VERSION, floor: SUPERBLOCK_VERSION_MIN },
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
logCommand(program)
tableCommand(program)
messageCommand(program)
await runMain(program)
