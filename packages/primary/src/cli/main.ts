/**
 * The program `sitelink`: runs the verb that was asked for.
 */
import { runMain } from '@sitelink/daemon'
import { sitelinkProgram } from './program.js'

await runMain(sitelinkProgram())
