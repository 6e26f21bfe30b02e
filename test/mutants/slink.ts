/** The sites of the primary: overflow, resync, protection, the stream. */
import { by, rule, step, type Mutant } from './mutant.js'

export const SLINK: readonly Mutant[] = [
  // ----- without one durability step -----

  step(
    'a site is behind before what it misses is marked',
    'primary/slink/overflow',
    'while (!(await this.#stored(place))) {',
    'while (false) {',
    by(
      'pair/outage',
      'an overflow makes exactly the regions of dropped entries dirty, and a crash of the primary forgets none',
    ),
  ),
  step(
    'a drop marks nothing',
    'primary/slink/slink',
    'await this.#context.markRange(this, position); await this.mappings.flush(place.point);',
    'await this.mappings.flush(place.point);',
    by(
      'pair/outage',
      'an overflow makes exactly the regions of dropped entries dirty, and a crash of the primary forgets none',
    ),
  ),
  step(
    'who the agent is is not stored',
    'primary/slink/resume',
    'await context.recordPeer(slink.number, { agent: welcome.agent, journal });',
    '',
    by('pair/dirty-log', 'a dirty log that says clean is not believed of an agent that has lost what it acknowledged'),
  ),

  // ----- other bugs -----

  rule(
    'an overflow does not go on marking what is written',
    'primary/slink/slink',
    "return this.#standing.kind !== 'log' && this.mappings.size > 0;",
    'return false;',
    by(
      'pair/shortage',
      'a site that was dropped says that it is behind until its resync ends; what is written meanwhile is only marked',
    ),
  ),
  rule(
    'a drop says that it is behind before it marks',
    'primary/slink/overflow',
    "owner.setStanding({ kind: 'dropping', place });",
    "owner.setStanding({ kind: 'behind', since: place.acked, answered: place.answered });",
    by('pair/dirty-log', 'a power cut at any moment of an overflow loses no mark, and makes nothing else dirty'),
  ),
]
