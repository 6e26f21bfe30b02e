/**
 * The program `sitelink-agent`: runs the verb that was asked for.
 */
import { runMain } from '@sitelink/daemon'
import { agentProgram } from './program.js'

await runMain(agentProgram())
