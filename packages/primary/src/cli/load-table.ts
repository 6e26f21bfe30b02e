/**
 * Loads a table in dm-replicator's words: at the daemon, or on the state directory without one, or, where there is no
 * state directory yet, as a new group. In each case all of it is done or nothing.
 */
import { randomBytes } from 'node:crypto'
import {
  ConfigFile,
  daemonErrors,
  RealClock,
  withDaemonOrLock,
  type CliContext,
  type StateDirectory,
} from '@sitelink/daemon'
import { NodeDiskProvider } from '@sitelink/storage'
import { groupStateFile } from '../admin/path-in-use.js'
import { takeSteps } from '../admin/take-steps.js'
import type { Done } from '../control/dm-verbs.js'
import { stepsOf, stepsOfTable, type DmSurroundings } from '../dm/carry-out.js'
import { describeStep } from '../dm/describe.js'
import { pathReader } from '../dm/paths.js'
import { readTable } from '../dm/table.js'
import { mapped } from '../error-map.js'
import { primaryErrors } from '../errors.js'
import { refuseLinks } from '../trust/link-plan.js'
import { NO_PINS } from '../trust/pins.js'
import { makeGroup } from './make-group.js'
import { openAgentLinks } from './open-links.js'
import { configFormat } from './open-state.js'
import { storeSteps } from './store-steps.js'

export interface TableOptions {
  readonly load?: string
  readonly dryRun?: boolean
  readonly insecurePlain?: boolean
  readonly discardEntries?: boolean
}

/** Brings the group to what the table says, or makes one of it; answers what was done, a sentence each. */
export async function loadTable(context: CliContext<TableOptions>, text: string): Promise<readonly string[]> {
  const state = await context.state().catch((error: unknown) => {
    if (daemonErrors.is(error, 'STATE_MISSING') || daemonErrors.is(error, 'STATE_UNFINISHED')) return null
    throw error
  })
  if (state === null) return makeOf(context, text)
  const dryRun = context.options.dryRun === true
  const insecurePlain = context.options.insecurePlain === true
  const directory = process.cwd()
  return withDaemonOrLock(
    state,
    {
      online: async (client) =>
        (await client.call<Done>('table-load', { text, directory, dryRun, insecurePlain })).done,
      offline: async (lock) => {
        const file = await ConfigFile.open(state, lock, configFormat)
        return mapped(async () => {
          const around = surroundings(state)
          const steps = await stepsOfTable(text, directory, file.current, around)
          const { pins } = await openAgentLinks(state, lock, new RealClock())
          refuseLinks(steps, file.current, pins, insecurePlain)
          if (dryRun) await takeSteps(around, file.current, steps)
          else await storeSteps(state, lock, file, steps, around)
          return steps.map((step) => describeStep(step))
        })
      },
    },
    { onWaiting: (message) => context.output.note(message) },
  )
}

function surroundings(state: StateDirectory): DmSurroundings {
  const mappingId = (): string => randomBytes(8).toString('hex')
  return { disks: new NodeDiskProvider(), stateFile: groupStateFile(state.path), mappingId }
}

/** A new group of a table that has the line of one. */
async function makeOf(context: CliContext<TableOptions>, text: string): Promise<readonly string[]> {
  const table = readTable(text, pathReader(process.cwd()))
  const { control } = table
  const refuse = (why: string, errno: string): never => {
    throw primaryErrors.create('DM_TABLE', { place: 'table', why, errno })
  }
  if (control === null)
    return refuse(`there is no group in ${context.statePath()}, and no line that says replicator makes one`, 'ENOENT')
  if (control.log.mode === 'open')
    return refuse(
      `there is no group in ${context.statePath()} that "open" could open: auto or create, with a size`,
      'EINVAL',
    )
  if (context.options.dryRun === true) return refuse('a dry run needs a group that is there', 'ENOENT')
  let done: readonly string[] = []
  const discardEntries = context.options.discardEntries === true && control.log.mode === 'create'
  const log = { ...control.log, sparse: false, discardEntries }
  const { uuid, state } = await makeGroup(context, {
    log,
    fill: async (empty, directory) => {
      // The log is being created for this very group.
      const opened = { ...table, control: { ...control, log: { ...control.log, mode: 'open' as const } } }
      const around = surroundings(directory)
      const steps = await stepsOf(opened, empty, around)
      refuseLinks(steps, empty, NO_PINS, context.options.insecurePlain === true)
      done = steps.map((step) => describeStep(step))
      return takeSteps(around, empty, steps)
    },
  })
  return [`made group ${uuid} in ${state}, replog ${control.log.path}`, ...done]
}
