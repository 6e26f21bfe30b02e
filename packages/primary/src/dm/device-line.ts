/**
 * The line of a device: `<start> <length> replicator-dev <control> <dev#> <local tuple> <remote tuples...>`.
 *
 * Pure; reads and prints. The tuples behind a device number are also what the message `device add` brings. A remote
 * device is a name at its agent, so it is kept as it is; local paths are made absolute.
 */
import { DEVICE_NUMBER_MAX, REGION_BYTES_MAX, REGION_BYTES_MIN } from '../limits.js'
import type { PathReader } from './control-line.js'
import { refuse, refuseMissing } from './refusal.js'
import { slinkNumber } from './slink-tuple.js'
import { SECTOR_BYTES } from './units.js'
import { choice, number, Words } from './words.js'

export interface RemoteTuple {
  readonly slink: number
  /** Name of the device at the agent. */
  readonly remote: string
  /** `path` null: a file in the state directory, written as `-`. */
  readonly dirtyLog: { readonly type: 'core' } | { readonly type: 'disk'; readonly path: string | null }
  readonly regionBytes: number
  readonly initial: 'sync' | 'nosync'
}

export interface DeviceLine {
  readonly number: number
  readonly path: string
  readonly remotes: readonly RemoteTuple[]
}

const WORDS_MIN = 7
const TUPLE_WORDS_MIN = 5
/** The word for a dirty log in the state directory. */
const OWN_FILE = '-'

export function deviceNumber(word: string): number {
  return number(word, 'device number', { max: DEVICE_NUMBER_MAX })
}

/** Reads what follows the word `replicator-dev`. `controls`: the names of the group. */
export function readDevice(words: Words, path: PathReader, controls: readonly string[]): DeviceLine {
  if (words.left < WORDS_MIN) refuseMissing('EINVAL', 'too few words: a device has at least its local tuple')
  readGroup(words, controls)
  const device = deviceNumber(words.next('the device number'))
  const slink = words.peek() ?? ''
  if (slinkNumber(slink) !== 0)
    refuse('ENODEV', slink, 'is a remote slink without the local device: the tuple of slink 0 comes first')
  return { number: device, path: readLocal(words, path), remotes: readRemotes(words, path) }
}

/** The control device: a name of the group. */
export function readGroup(words: Words, controls: readonly string[]): void {
  const control = words.next('the control device')
  if (!controls.includes(control)) refuse('ENOENT', control, `is no replicator: the group is ${controls.join(' or ')}`)
}

function readLocal(words: Words, path: PathReader): string {
  const { name, dirty, parameters } = readTuple(words)
  if (dirty !== 'nolog') refuse('EINVAL', dirty, 'is a dirty log for the local device, which has none: nolog 0')
  parameters.end('for nolog')
  return path(name)
}

/** Remote tuples up to the end of the words. */
export function readRemotes(words: Words, path: PathReader): RemoteTuple[] {
  const remotes: RemoteTuple[] = []
  while (words.left > 0) {
    const remote = readRemote(words, path)
    if (remotes.some((one) => one.slink === remote.slink))
      refuse('EBUSY', String(remote.slink), 'is a slink that has two devices of this number')
    remotes.push(remote)
  }
  return remotes
}

interface Tuple {
  readonly slink: string
  readonly name: string
  readonly dirty: 'nolog' | 'core' | 'disk'
  readonly parameters: Words
}

function readTuple(words: Words): Tuple {
  if (words.left < TUPLE_WORDS_MIN)
    refuse('EINVAL', words.peek() ?? '', `begins a device tuple that has ${TUPLE_WORDS_MIN - words.left} words too few`)
  const slink = words.next('the slink number')
  slinkNumber(slink)
  const parameters = words.count('device', 1, 1)
  const name = parameters.next('the device')
  if (name === '') refuse('EINVAL', name, 'is an empty name of a device')
  const type = words.next('the type of the dirty log')
  const dirty =
    type === '-'
      ? 'nolog'
      : choice(type, 'dirty log type', ['nolog', 'core', 'disk'], { errno: 'ENXIO', shortened: false })
  const [min, max] = dirty === 'nolog' ? [0, 0] : dirty === 'core' ? [1, 2] : [2, 3]
  return { slink, name, dirty, parameters: words.count(`${dirty} dirty log`, min, max) }
}

function readRemote(words: Words, path: PathReader): RemoteTuple {
  const { slink, name, dirty, parameters } = readTuple(words)
  const at = slinkNumber(slink)
  if (at === 0) refuse('EBUSY', slink, 'is the local site, which has its device already')
  if (dirty === 'nolog') refuse('EINVAL', dirty, `stands where the device of slink ${slink} needs a dirty log`)
  const store = dirty === 'disk' ? parameters.next('the device of the dirty log') : null
  const dirtyLog =
    store === null
      ? { type: 'core' as const }
      : { type: 'disk' as const, path: store === OWN_FILE ? null : path(store) }
  const regionBytes = readRegion(parameters.next('the region size'))
  const word = parameters.peek() === null ? 'sync' : parameters.next('sync or nosync')
  const initial = choice(word, 'initial state', ['sync', 'nosync'], { errno: 'ENXIO', shortened: false })
  parameters.end('for a dirty log')
  return { slink: at, remote: name, dirtyLog, regionBytes, initial }
}

function readRegion(word: string): number {
  const sectors = number(word, 'region size in sectors')
  if (sectors < REGION_BYTES_MIN / SECTOR_BYTES)
    refuse('EINVAL', word, `is a region size below ${REGION_BYTES_MIN / SECTOR_BYTES} sectors`)
  if (!Number.isInteger(Math.log2(sectors))) refuse('ENXIO', word, 'is a region size that is no power of two')
  if (sectors > REGION_BYTES_MAX / SECTOR_BYTES)
    refuse('ENXIO', word, `is a region size above ${REGION_BYTES_MAX / SECTOR_BYTES} sectors`)
  return sectors * SECTOR_BYTES
}

/** The words behind `replicator-dev`. */
export function printDevice(control: string, { number: device, path, remotes }: DeviceLine): string[] {
  return [control, String(device), '0', '1', path, 'nolog', '0', ...remotes.flatMap((remote) => printRemote(remote))]
}

function printRemote({ slink, remote, dirtyLog, regionBytes, initial }: RemoteTuple): string[] {
  const region = String(regionBytes / SECTOR_BYTES)
  const dirty = dirtyLog.type === 'core' ? ['core', '2', region] : ['disk', '3', dirtyLog.path ?? OWN_FILE, region]
  return [String(slink), '1', remote, ...dirty, initial]
}
