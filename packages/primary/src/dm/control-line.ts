/**
 * The line of the group: `<start> <length> replicator <log type> <#params> <log...> <slinks...>`.
 *
 * Pure; reads and prints. What it says of the log is where it lies and how it is opened; where a group has a log already,
 * only the place is compared.
 */
import { LOG_BYTES_MIN } from '../limits.js'
import { refuse, refuseMissing } from './refusal.js'
import { printSlink, readSlink, type SlinkTuple } from './slink-tuple.js'
import { SECTOR_BYTES } from './units.js'
import { choice, number, Words } from './words.js'

export interface LogWords {
  readonly path: string
  readonly startBytes: number
  readonly mode: 'auto' | 'open' | 'create'
  /** Headers included; null with `open`. */
  readonly sizeBytes: number | null
}

export interface ControlLine {
  readonly log: LogWords
  readonly slinks: readonly SlinkTuple[]
}

/** Makes an absolute path of a word; throws a refusal for a word that is none. */
export type PathReader = (word: string) => string

const BLOCK_SECTORS = 8
const SECTORS_MAX = Math.floor(Number.MAX_SAFE_INTEGER / SECTOR_BYTES)

/** Reads what follows the word `replicator`. */
export function readControl(words: Words, path: PathReader): ControlLine {
  if (words.left < 3) refuseMissing('EINVAL', 'too few words: a replicator has a log and at least slink 0')
  const log = readLog(words, path)
  if (words.left === 0) refuseMissing('EINVAL', 'the slinks are missing: slink 0 at least, as blockdev 1 0')
  const slinks: SlinkTuple[] = []
  while (words.left > 0) {
    const slink = readSlink(words)
    if (slinks.length === 0 && slink.number !== 0)
      refuse('EINVAL', String(slink.number), 'is the first slink: slink 0, the local site, comes first')
    if (slinks.some((one) => one.number === slink.number))
      refuse('EEXIST', String(slink.number), 'is the number of two slinks')
    slinks.push(slink)
  }
  return { log, slinks }
}

function readLog(words: Words, path: PathReader): LogWords {
  choice(words.next('the type of the log'), 'log type', ['ringbuffer'], { errno: 'ENOENT', shortened: false })
  const parameters = words.count('log', 2, 4)
  const { left } = parameters
  const log = path(parameters.next('the path of the log'))
  const start = parameters.next('the start of the log')
  const sectors = number(start, 'start of the log in sectors', { max: SECTORS_MAX })
  if (sectors % BLOCK_SECTORS !== 0) refuse('EINVAL', start, `is no multiple of ${BLOCK_SECTORS} sectors`)
  const startBytes = sectors * SECTOR_BYTES
  if (left === 2) return { path: log, startBytes, mode: 'open', sizeBytes: null }
  const word = parameters.next('the open mode')
  const mode = choice(word, 'open mode', ['auto', 'open', 'create'])
  if (left === 3) {
    if (mode !== 'open') refuse('EINVAL', word, 'needs the size of the log behind it')
    return { path: log, startBytes, mode, sizeBytes: null }
  }
  const size = parameters.next('the size of the log')
  if (mode === 'open') refuse('EINVAL', size, 'is a size, which the mode open does not take')
  const range = { min: LOG_BYTES_MIN / SECTOR_BYTES, max: SECTORS_MAX }
  return { path: log, startBytes, mode, sizeBytes: number(size, 'size of the log in sectors', range) * SECTOR_BYTES }
}

/** The words behind `replicator`. The log is there by now: the mode is `open`, which is not printed. */
export function printControl(
  log: { readonly path: string; readonly startBytes: number },
  slinks: readonly SlinkTuple[],
): string[] {
  const words = ['ringbuffer', '2', log.path, String(log.startBytes / SECTOR_BYTES)]
  return [...words, ...slinks.flatMap((slink) => printSlink(slink))]
}
