/**
 * `sitelink message`: dm-replicator's messages, to the group or to one device.
 *
 * What a message changes in the configuration is stored, with a daemon or without; what lasts only as long as the daemon
 * (start, stop, statistics) needs one.
 */
import { action, examples, withDaemonOrLock, type SitelinkCommand } from '@sitelink/daemon/light'
import type { Done } from '../../control/dm-verbs.js'
import { PROGRAM } from '../ask-daemon.js'

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
              const { messageOffline } = await import('../message-offline.js')
              return messageOffline(state, lock, { target, words, directory, insecurePlain })
            },
          },
          { onWaiting: (message) => context.output.note(message) },
        )
        context.output.result({ done }, (value) => value.done.join('\n'))
      }),
    )
}
