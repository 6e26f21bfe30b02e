/**
 * Makes this process wrong: `node --import .../hook.js`, with the order in the environment.
 *
 * Owns nothing but the registration; `loader.ts` changes the text of the one file when it is loaded. Processes that this
 * one starts inherit the option and the order.
 */
import { register } from 'node:module'
import { ORDER_VARIABLE } from './mutant.js'

if (process.env[ORDER_VARIABLE] !== undefined) register('./loader.js', import.meta.url)
