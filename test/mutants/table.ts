/**
 * All mutants: what the tests of this repository must notice.
 *
 * The mutants that are a step are the list of the durability steps: each of them takes exactly one away, or moves it. What
 * a reader of the code would expect here and does not find stands in {@link REDUNDANT}, with the reason.
 */
import { AGENT_REPLICA } from './agent-replica.js'
import { AGENT_STREAM } from './agent-stream.js'
import { BLOCKDEV } from './blockdev.js'
import { DIRTY_LOG } from './dirty-log.js'
import { FILES } from './files.js'
import { GROUP } from './group.js'
import { GROUP_OPENING } from './group-opening.js'
import { HTTP3_MUTANTS } from './http3.js'
import { IDENTITY } from './identity.js'
import { LINKS } from './links.js'
import { LOG } from './log.js'
import { LOG_RESIZE } from './log-resize.js'
import { READING } from './reading.js'
import { SLINK } from './slink.js'
import { STRANGERS } from './strangers.js'
import { DURABILITY_ASKED } from './durability-asked.js'
import { VERIFY } from './verify.js'
import { WIRE } from './wire.js'
import { WRITE_BACK } from './write-back.js'
import type { Mutant } from './mutant.js'

export const MUTANTS: readonly Mutant[] = [
  ...LOG,
  ...LOG_RESIZE,
  ...WRITE_BACK,
  ...DIRTY_LOG,
  ...FILES,
  ...GROUP,
  ...GROUP_OPENING,
  ...SLINK,
  ...VERIFY,
  ...DURABILITY_ASKED,
  ...LINKS,
  ...HTTP3_MUTANTS,
  ...AGENT_STREAM,
  ...AGENT_REPLICA,
  ...WIRE,
  ...READING,
  ...IDENTITY,
  ...STRANGERS,
  ...BLOCKDEV,
]

export { REDUNDANT } from './redundant.js'
