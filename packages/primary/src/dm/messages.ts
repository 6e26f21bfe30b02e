/**
 * Messages: words for the group or for one device, as a wish that its receiver can carry out.
 *
 * Pure. Words may be shortened to what can mean one thing only. A message is whole: all its words are understood before
 * anything is done, and what it does to the configuration is one change.
 */
import type { Step } from '../admin/steps.js'
import { deviceOf, slinkOf, type SlinkChange } from '../admin/changes.js'
import type { DeviceConfig, GroupConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import { LOG_BYTES_MIN } from '../limits.js'
import type { PathReader } from './control-line.js'
import { deviceNumber, readGroup, readRemotes } from './device-line.js'
import { planMaps, planNewSlink, sitePaths, type PlanFacts } from './plan.js'
import { refuse, refuseMissing, WordRefusal } from './refusal.js'
import { readLimits, readPolicy, readSlink, slinkNumber } from './slink-tuple.js'
import { GROUP_NAME, remotesOf } from './table.js'
import { SECTOR_BYTES } from './units.js'
import { choice, number, Words } from './words.js'

export type Message =
  /** A change of the configuration: stored, and for a running group acted upon. */
  | { readonly kind: 'change'; readonly steps: readonly Step[] }
  /** Lasts until the opposite, or until the daemon ends. `device` null: the group, with `all` each of its devices too. */
  | { readonly kind: 'suspend' | 'resume'; readonly device: number | null; readonly all: boolean }
  /** Of the log; begun when it is answered, goes on while other messages come. */
  | { readonly kind: 'resize'; readonly sizeBytes: number; readonly word: string }
  | { readonly kind: 'statistics'; readonly of: 'core' | 'log'; readonly what: 'on' | 'off' | 'reset' }

export interface MessageFacts extends Pick<PlanFacts, 'mappingId'> {
  readonly config: GroupConfig
  readonly path: PathReader
}

/** Reads a message to `target`: the group by its name or UUID, or a device by its number or name. */
export function readMessage(target: string, words: readonly string[], facts: MessageFacts): Message {
  try {
    const device = targetOf(target, facts.config)
    const message = device === null ? toGroup(new Words(words), facts) : toDevice(device, new Words(words), facts)
    return message
  } catch (error) {
    if (!(error instanceof WordRefusal)) throw error
    const { errno, word } = error
    throw primaryErrors.create('DM_MESSAGE', { why: error.message, errno, word }, { cause: error })
  }
}

const namesOf = (config: GroupConfig): string[] => [GROUP_NAME, config.uuid]

function targetOf(target: string, config: GroupConfig): DeviceConfig | null {
  if (/^\d+$/.test(target)) return deviceOf(config, deviceNumber(target))
  // A device may have any name; what the group is called goes first.
  if (namesOf(config).includes(target)) return null
  const device = config.devices.find((one) => one.name === target)
  return device ?? refuse('ENOENT', target, `is neither a device nor the group, which is ${GROUP_NAME}`)
}

const STATES = ['start', 'resume', 'stop', 'suspend', 'postsuspend'] as const

function stateOf(word: (typeof STATES)[number]): 'suspend' | 'resume' {
  return word === 'start' || word === 'resume' ? 'resume' : 'suspend'
}

function toGroup(words: Words, facts: MessageFacts): Message {
  const verb = choice(words.next('the message'), 'message to the group', [...STATES, 'slink', 'statistics', 'replog'])
  switch (verb) {
    case 'slink':
      return toSlinks(words, facts)
    case 'statistics':
      return statistics('core', words)
    case 'replog':
      return toLog(words)
    default: {
      const all = words.peek() !== null && choice(words.next('all'), 'word behind it', ['all']) === 'all'
      words.end(`behind ${verb}`)
      return { kind: stateOf(verb), device: null, all }
    }
  }
}

function statistics(of: 'core' | 'log', words: Words, ignoreCase = false): Message {
  const options = { ignoreCase }
  const what = choice(words.next('on, off or reset'), 'word for statistics', ['on', 'off', 'reset'], options)
  words.end('behind statistics')
  return { kind: 'statistics', of, what }
}

function toLog(words: Words): Message {
  const verb = choice(words.next('the message to the log'), 'message to the log', ['statistics', 'resize'], {
    ignoreCase: true,
  })
  if (verb === 'statistics') return statistics('log', words, true)
  const word = words.next('the size in sectors')
  const sectors = number(word, 'size of the log in sectors', {
    min: LOG_BYTES_MIN / SECTOR_BYTES,
    max: Math.floor(Number.MAX_SAFE_INTEGER / SECTOR_BYTES),
  })
  words.end('behind resize')
  return { kind: 'resize', sizeBytes: sectors * SECTOR_BYTES, word }
}

function toSlinks(words: Words, { config }: MessageFacts): Message {
  const verb = choice(words.next('add, del or message'), 'message about slinks', ['add', 'del', 'message'])
  if (verb === 'add') {
    const slink = readSlink(words)
    words.end('behind the slink')
    if (slink.number === 0) refuse('EPERM', '0', 'is the local site, which is always there')
    return { kind: 'change', steps: planNewSlink(slink) }
  }
  const slink = slinkNumber(words.next('the slink number'), verb === 'del' ? 1 : 0)
  if (verb === 'del') {
    words.end('behind the slink number')
    return { kind: 'change', steps: [{ kind: 'delete-slink', slink, unmap: false }] }
  }
  if (slink !== 0) slinkOf(config, slink)
  const text = choice(words.next('fallbehind or policy'), 'message to a slink', ['fallbehind', 'policy'], {
    ignoreCase: true,
  })
  const change = text === 'policy' ? policyOf(slink, words.next('the policy')) : { fallBehind: readLimits(words) }
  words.end(`behind ${text}`)
  return { kind: 'change', steps: [{ kind: 'change-slink', slink, change }] }
}

/** Of the local site a policy says only whether writers wait for it. */
function policyOf(slink: number, word: string): SlinkChange {
  const policy = readPolicy(word)
  return slink === 0 ? { mode: policy.mode } : policy
}

function toDevice(device: DeviceConfig, words: Words, facts: MessageFacts): Message {
  const verb = choice(words.next('the message'), 'message to a device', [...STATES, 'device'])
  if (verb !== 'device') {
    words.end(`behind ${verb}`)
    return { kind: stateOf(verb), device: device.number, all: false }
  }
  const what = choice(words.next('add or del'), 'message about remote devices', ['add', 'del'])
  if (what === 'del') {
    const slink = slinkNumber(words.next('the slink number'), 1)
    words.end('behind the slink number')
    return { kind: 'change', steps: [{ kind: 'unmap', device: device.number, slink }] }
  }
  return { kind: 'change', steps: addRemotes(device, words, facts) }
}

function addRemotes(device: DeviceConfig, words: Words, { config, path, mappingId }: MessageFacts): Step[] {
  readGroup(words, namesOf(config))
  const named = words.next('the device number')
  if (deviceNumber(named) !== device.number) refuse('EINVAL', named, `is not device ${device.number}, which is asked`)
  const remotes = sitePaths(readRemotes(words, path), config.slinks, path)
  if (remotes.length === 0) refuseMissing('EINVAL', 'the remote device is missing')
  const present = remotesOf(config, device.id)
  for (const { slink } of remotes)
    if (present.some((one) => one.slink === slink))
      throw primaryErrors.create('MAP_EXISTS', { device: device.number, slink })
  return planMaps(device.number, device.sizeBytes, remotes, [], { sizeOf: () => device.sizeBytes, mappingId })
}
