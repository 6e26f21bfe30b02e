/**
 * The program `sitelink`: runs the verb that was asked for.
 */
import { runMain } from '@sitelink/daemon/light'
import { sitelinkProgram } from './program.js'

const argv = process.argv.slice(2)
await runMain(await sitelinkProgram(argv), argv)
