/**
 * A message in dm-replicator's words to a group that no daemon has: what it changes in the configuration is stored.
 */
import { randomBytes } from 'node:crypto'
import {
  ConfigFile,
  ControlClient,
  daemonErrors,
  RealClock,
  type StateDirectory,
  type StateLock,
} from '@sitelink/daemon'
import { NodeDiskProvider } from '@sitelink/storage'
import { groupStateFile } from '../admin/path-in-use.js'
import { messageOf } from '../dm/carry-out.js'
import { describeMessage } from '../dm/describe.js'
import { inErrno } from '../dm/resize-message.js'
import { SECTOR_BYTES } from '../dm/units.js'
import { mapped } from '../error-map.js'
import { refuseLinks } from '../trust/link-plan.js'
import { resizeOffline } from './offline-group.js'
import { openAgentLinks } from './open-links.js'
import { configFormat } from './open-state.js'
import { storeSteps } from './store-steps.js'

export interface MessageWords {
  readonly target: string
  readonly words: readonly string[]
  /** What relative paths begin at. */
  readonly directory: string
  readonly insecurePlain: boolean
}

/** What was done, a sentence each. */
export async function messageOffline(
  state: StateDirectory,
  lock: StateLock,
  { target, words, directory, insecurePlain }: MessageWords,
): Promise<readonly string[]> {
  const file = await ConfigFile.open(state, lock, configFormat)
  const mappingId = (): string => randomBytes(8).toString('hex')
  return mapped(async () => {
    const message = messageOf(target, words, directory, file.current, mappingId)
    if (message.kind === 'resize') {
      const wish = { ...message, sparse: false, overwrite: false }
      await resizeOffline(state, lock, wish, (_, ended) => ended).catch((error: unknown) => {
        throw inErrno(error, message.word)
      })
      return [`resized the log to ${message.sizeBytes / SECTOR_BYTES} sectors`]
    }
    if (message.kind !== 'change') throw needsDaemon(state.path)
    const { pins } = await openAgentLinks(state, lock, new RealClock())
    refuseLinks(message.steps, file.current, pins, insecurePlain)
    const look = { disks: new NodeDiskProvider(), stateFile: groupStateFile(state.path) }
    await storeSteps(state, lock, file, message.steps, look)
    return describeMessage(message)
  })
}

function needsDaemon(state: string): Error {
  const why = 'no daemon holds the state directory, and what this message sets lasts only as long as one'
  return daemonErrors.create('CONTROL_UNREACHABLE', { path: new ControlClient(state).path, state, why })
}
