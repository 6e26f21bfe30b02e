/**
 * `sitelink table`: the configuration in dm-replicator's words, printed and loaded.
 *
 * A table goes to the running daemon, or to the state directory without one, or, where there is no state directory yet, a
 * group is made of it. In each case all of it is done or nothing.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import {
  action,
  ConfigFile,
  daemonErrors,
  examples,
  RealClock,
  StateDirectory,
  systemError,
  withDaemonOrLock,
  type CliContext,
  type SitelinkCommand,
} from '@sitelink/daemon'
import { NodeDiskProvider } from '@sitelink/storage'
import { groupStateFile } from '../../admin/path-in-use.js'
import { takeSteps } from '../../admin/take-steps.js'
import type { Done } from '../../control/dm-verbs.js'
import { stepsOf, stepsOfTable, type DmSurroundings } from '../../dm/carry-out.js'
import { describeStep } from '../../dm/describe.js'
import { pathReader } from '../../dm/paths.js'
import { printTable, readTable } from '../../dm/table.js'
import { mapped } from '../../error-map.js'
import { primaryErrors } from '../../errors.js'
import { refuseLinks } from '../../trust/link-plan.js'
import { NO_PINS } from '../../trust/pins.js'
import { makeGroup } from '../make-group.js'
import { openAgentLinks } from '../open-links.js'
import { configFormat, PROGRAM } from '../open-state.js'
import { readConfig } from '../read-config.js'
import { storeSteps } from '../store-steps.js'

interface Options {
  readonly load?: string
  readonly dryRun?: boolean
  readonly insecurePlain?: boolean
  readonly discardEntries?: boolean
}

export function tableCommand(program: SitelinkCommand): void {
  program
    .command('table')
    .description("print the configuration in dm-replicator's words, or load it")
    .option('--load <file>', 'bring the group to what the file says, all of it or nothing; - is standard input')
    .option('--dry-run', 'with --load: only say what would be done')
    .option('--insecure-plain', 'with --load: yes, use the tcp:// addresses of new slinks')
    .option('--discard-entries', 'with --load and a new group: use the path of the log although it holds something')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} table --state DIR`,
        `${PROGRAM} table --load FILE --state DIR`,
        `${PROGRAM} table --state OLD | ${PROGRAM} table --load - --dry-run --state DIR`,
        `echo "0 1 replicator ringbuffer 4 /dev/vg/replog 0 auto 262144 blockdev 2 0 asynchronous agent 5 1 tcp://remote:7373 asynchronous ios 10000" | ${PROGRAM} table --load - --insecure-plain --state DIR`,
        `echo "data: 0 2097152 replicator-dev group 0 0 1 /dev/vg/data nolog 0 1 1 data disk 3 - 4096 sync" | ${PROGRAM} table --load - --state DIR`,
      ]),
    )
    .action(
      action<Options>(async (context) => {
        const { output, options } = context
        if (options.load === undefined) {
          const lines = printTable(await readConfig(context))
          return output.result({ lines }, (value) => value.lines.join('\n'))
        }
        const done = await load(context, await textOf(options.load))
        const none = options.dryRun === true ? 'nothing to do' : 'nothing was to be done'
        output.result({ done }, (value) => value.done.join('\n') || none)
      }),
    )
}

async function textOf(file: string): Promise<string> {
  if (file === '-') {
    const chunks: Buffer[] = []
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks).toString('utf8')
  }
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw systemError(error) ?? error
  }
}

async function load(context: CliContext<Options>, text: string): Promise<readonly string[]> {
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
async function makeOf(context: CliContext<Options>, text: string): Promise<readonly string[]> {
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
