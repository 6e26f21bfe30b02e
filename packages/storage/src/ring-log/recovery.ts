/**
 * What recovery makes of a place in the log: one table over facts, without I/O.
 *
 * Owns the judgement of every group header and every frame that start-up, truncation, damaged reads and the inspector
 * meet. The first question is always the same: is it below a durable mark (somebody recorded that everything below was
 * on stable storage)? Below, whatever does not check was damaged later: a hole, and what follows still counts. Above,
 * it was never known durable: the log ends here, with all that may follow.
 *
 * Each combination of facts is in exactly one row.
 */
import { assert } from '@sitelink/protocol/entry'

/** What was found at a place, everything that the judgement may look at. */
export interface Facts {
  /** Where a group should begin, or inside one, where a frame should. */
  readonly place: 'group' | 'entry'
  /** No magic at all; a magic whose header does not check; a header whose CRC and fields are good. */
  readonly header: 'absent' | 'bad' | 'good'
  /** It names this log. */
  readonly identity: boolean
  /**
   * The position that it names: this one; one of an earlier lap, or of a tail that was cut; one of a later lap. Frames name
   * none: right.
   */
  readonly position: 'right' | 'behind' | 'ahead'
  /** The life that it names: the one that owns this place; one that does not; one that the table does not know yet. */
  readonly life: 'right' | 'void' | 'unknown'
  /** It repeats the CRC of what came before. */
  readonly chain: boolean
  /** Its LSNs continue. */
  readonly lsn: boolean
  /** What follows the header has the CRC that the header says. */
  readonly body: boolean
  /** It lies below a durable mark. */
  readonly durable: boolean
}

export type Decision =
  /** It counts. */
  | 'accept'
  /** Nothing was written here. The log ends. */
  | 'end'
  /** Left over from an earlier lap, a cut tail or another log. The log ends. */
  | 'stale'
  /** A write that did not finish, or what followed one. The log is cut here. */
  | 'torn'
  /** Durable once, unreadable now: go on at the next group that counts. */
  | 'hole'
  /** As `hole`, but its header is good: what it was is known, and what follows is found at once. */
  | 'hole-body'
  /** The ring is ahead of its superblock: a newer superblock was lost. Nothing here can be trusted to be the newest. */
  | 'refuse'

type Pattern = { readonly [Key in keyof Facts]?: readonly Facts[Key][] }

export interface Row {
  readonly name: string
  readonly when: Pattern
  readonly then: Decision
}

const yes = [true] as const
const no = [false] as const
const ours = { header: ['good'], identity: yes } as const
/** Header, identity, position and life are right; the rest is to be looked at. */
const here = { ...ours, position: ['right'], life: ['right'] } as const

export const RECOVERY_TABLE: readonly Row[] = [
  { name: 'good', when: { ...here, chain: yes, lsn: yes, body: yes }, then: 'accept' },

  { name: 'group from a later lap', when: { place: ['group'], ...ours, position: ['ahead'] }, then: 'refuse' },
  {
    name: 'group of a later life',
    when: { place: ['group'], ...ours, position: ['right', 'behind'], life: ['unknown'] },
    then: 'refuse',
  },

  { name: 'no group, never durable', when: { place: ['group'], header: ['absent'], durable: no }, then: 'end' },
  { name: 'group header torn, never durable', when: { place: ['group'], header: ['bad'], durable: no }, then: 'torn' },
  {
    name: 'group of another log, never durable',
    when: { place: ['group'], header: ['good'], identity: no, durable: no },
    then: 'stale',
  },
  {
    name: 'group of an earlier lap, never durable',
    when: { place: ['group'], ...ours, position: ['behind'], life: ['right', 'void'], durable: no },
    then: 'stale',
  },
  {
    name: 'group of a cut tail, never durable',
    when: { place: ['group'], ...ours, position: ['right'], life: ['void'], durable: no },
    then: 'stale',
  },

  { name: 'no group, durable once', when: { place: ['group'], header: ['absent', 'bad'], durable: yes }, then: 'hole' },
  {
    name: 'group of another log, durable once',
    when: { place: ['group'], header: ['good'], identity: no, durable: yes },
    then: 'hole',
  },
  {
    name: 'group of an earlier lap, durable once',
    when: { place: ['group'], ...ours, position: ['behind'], life: ['right', 'void'], durable: yes },
    then: 'hole',
  },
  {
    name: 'group of a cut tail, durable once',
    when: { place: ['group'], ...ours, position: ['right'], life: ['void'], durable: yes },
    then: 'hole',
  },

  { name: 'no frame, never durable', when: { place: ['entry'], header: ['absent', 'bad'], durable: no }, then: 'torn' },
  { name: 'no frame, durable once', when: { place: ['entry'], header: ['absent', 'bad'], durable: yes }, then: 'hole' },
  {
    name: 'frame of another log, never durable',
    when: { place: ['entry'], header: ['good'], identity: no, durable: no },
    then: 'torn',
  },
  {
    name: 'frame of another log, durable once',
    when: { place: ['entry'], header: ['good'], identity: no, durable: yes },
    then: 'hole',
  },
  {
    name: 'frame out of place, never durable',
    when: { place: ['entry'], ...ours, position: ['behind', 'ahead'], durable: no },
    then: 'torn',
  },
  {
    name: 'frame out of place, durable once',
    when: { place: ['entry'], ...ours, position: ['behind', 'ahead'], durable: yes },
    then: 'hole',
  },
  {
    name: 'frame of another life, never durable',
    when: { place: ['entry'], ...ours, position: ['right'], life: ['void', 'unknown'], durable: no },
    then: 'torn',
  },
  {
    name: 'frame of another life, durable once',
    when: { place: ['entry'], ...ours, position: ['right'], life: ['void', 'unknown'], durable: yes },
    then: 'hole',
  },

  { name: 'chain broken, never durable', when: { ...here, chain: no, durable: no }, then: 'torn' },
  { name: 'chain broken, durable once', when: { ...here, chain: no, durable: yes }, then: 'hole' },
  { name: 'LSN does not continue, never durable', when: { ...here, chain: yes, lsn: no, durable: no }, then: 'torn' },
  { name: 'LSN does not continue, durable once', when: { ...here, chain: yes, lsn: no, durable: yes }, then: 'hole' },
  { name: 'body bad, never durable', when: { ...here, chain: yes, lsn: yes, body: no, durable: no }, then: 'torn' },
  {
    name: 'body bad, durable once',
    when: { ...here, chain: yes, lsn: yes, body: no, durable: yes },
    then: 'hole-body',
  },
]

/** True if the facts are those of the row. */
export function matches(row: Row, facts: Facts): boolean {
  return Object.entries(row.when).every(([key, values]) =>
    (values as readonly unknown[]).includes(facts[key as keyof Facts]),
  )
}

const GOOD_ROW = RECOVERY_TABLE[0] as Row

/** The row for these facts; there is exactly one. */
export function judge(facts: Facts): Row {
  const { header, identity, position, life, chain, lsn, body } = facts
  // The usual case without walking the table; the test holds it to the same answer.
  if (header === 'good' && identity && position === 'right' && life === 'right' && chain && lsn && body) return GOOD_ROW
  const row = RECOVERY_TABLE.find((each) => matches(each, facts))
  assert(row !== undefined, 'every combination of facts has a row')
  return row
}
