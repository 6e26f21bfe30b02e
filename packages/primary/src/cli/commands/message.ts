/**
 * `sitelink message`: dm-replicator's messages, to the group or to one device.
 *
 * What a message changes in the configuration is stored, with a daemon or without; what lasts only as long as the daemon
 * (start, stop, statistics) needs one.
 */
import { randomBytes } from 'node:crypto'
import {
  action,
  ConfigFile,
  ControlClient,
  daemonErrors,
  examples,
  RealClock,
  withDaemonOrLock,
  type SitelinkCommand,
} from '@sitelink/daemon'
import { NodeDiskProvider } from '@sitelink/storage'
import { groupStateFile } from '../../admin/path-in-use.js'
import type { Done } from '../../control/dm-verbs.js'
import { messageOf } from '../../dm/carry-out.js'
import { describeMessage } from '../../dm/describe.js'
import { inErrno } from '../../dm/resize-message.js'
import { SECTOR_BYTES } from '../../dm/units.js'
import { mapped } from '../../error-map.js'
import { refuseLinks } from '../../trust/link-plan.js'
import { resizeOffline } from '../offline-group.js'
import { openAgentLinks } from '../open-links.js'
import { configFormat, PROGRAM } from '../open-state.js'
import { storeSteps } from '../store-steps.js'

export function messageCommand(program: SitelinkCommand): void {
  program
    .command('message <target> <words...>')
    .description("a message in dm-replicator's words: to the group (group), or to a device by number or name")
    .option('--insecure-plain', 'yes, use the tcp:// addresses of a new slink')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} message group stop --state DIR`,
        `${PROGRAM} message group start all --state DIR`,
        `${PROGRAM} message group slink add agent 3 2 tcp://near:7373 synchronous+stall --insecure-plain --state DIR`,
        `${PROGRAM} message group slink del 2 --state DIR`,
        `${PROGRAM} message group slink message 1 fallbehind size=64m --state DIR`,
        `${PROGRAM} message group slink message 1 policy asynchronous+stall --state DIR`,
        `${PROGRAM} message group statistics on --state DIR`,
        `${PROGRAM} message group replog statistics reset --state DIR`,
        `${PROGRAM} message group replog resize 4194304 --state DIR`,
        `${PROGRAM} message 0 device add group 0 1 1 data disk 3 - 2048 sync --state DIR`,
        `${PROGRAM} message 0 device del 1 --state DIR`,
        `${PROGRAM} message data suspend --state DIR`,
      ]),
    )
    .action(
      action<{ insecurePlain?: boolean }, [string, string[]]>(async (context, target, words) => {
        const state = await context.state()
        const directory = process.cwd()
        const insecurePlain = context.options.insecurePlain === true
        const done = await withDaemonOrLock(
          state,
          {
            online: async (client) =>
              (await client.call<Done>('message', { target, words, directory, insecurePlain })).done,
            offline: async (lock) => {
              const file = await ConfigFile.open(state, lock, configFormat)
              const mappingId = (): string => randomBytes(8).toString('hex')
              return mapped(async () => {
                const message = messageOf(target, words, directory, file.current, mappingId)
                if (message.kind === 'resize') {
                  await resizeOffline(
                    state,
                    lock,
                    { ...message, sparse: false, overwrite: false },
                    (_, ended) => ended,
                  ).catch((error: unknown) => {
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
            },
          },
          { onWaiting: (message) => context.output.note(message) },
        )
        context.output.result({ done }, (value) => value.done.join('\n'))
      }),
    )
}

function needsDaemon(state: string): Error {
  const why = 'no daemon holds the state directory, and what this message sets lasts only as long as one'
  return daemonErrors.create('CONTROL_UNREACHABLE', { path: new ControlClient(state).path, state, why })
}
