/**
 * `sitelink-agent events`: what happened since the daemon was started.
 */
import { action, examples, formatTime, type EventPage, type SitelinkCommand } from '@sitelink/daemon/light'
import { askDaemon, PROGRAM } from '../surroundings.js'

export function eventsCommand(program: SitelinkCommand): void {
  program
    .command('events')
    .description('what happened since the agent was started')
    .option('--follow', 'go on with what happens')
    .addHelpText('after', examples([`${PROGRAM} events --follow --state DIR`]))
    .action(
      action<{ follow?: boolean }>(async (context) => {
        const follow = context.options.follow === true
        await askDaemon(context, async (client) => {
          for await (const page of client.stream<EventPage>('events', { afterSeq: 0, follow })) {
            if (page.missed > 0) context.output.note(`${page.missed} events were pushed out before they could be read`)
            for (const event of page.events) {
              context.output.event(
                event,
                ({ timeUs, level, kind, message }) => `${formatTime(timeUs)}  ${level.padEnd(5)}  ${kind}: ${message}`,
              )
            }
          }
        })
      }),
    )
}
