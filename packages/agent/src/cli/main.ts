/**
 * The program `sitelink-agent`: runs the verb that was asked for.
 */
import { runMain } from '@sitelink/daemon/light'
import { agentProgram } from './program.js'

const argv = process.argv.slice(2)
await runMain(await agentProgram(argv), argv)
