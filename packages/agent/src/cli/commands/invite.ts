/**
 * `sitelink-agent invite`: prints a token with which one primary can enrol here, once and for a while.
 */
import {
  action,
  examples,
  formatDuration,
  IdentityFile,
  parseDurationMs,
  RealClock,
  RealRandom,
  type SitelinkCommand,
} from '@sitelink/daemon'
import { INVITATION_MS_DEFAULT, INVITATION_MS_MAX } from '../../limits.js'
import { invite, RIGHTS_DEFAULT, rightsOf, type Invited, type InviteWish } from '../../trust/invite.js'
import { openTrust } from '../links.js'
import { eitherWay, PROGRAM } from '../surroundings.js'

interface Options {
  readonly address?: string[]
  readonly name?: string
  readonly allow?: string
  readonly valid?: string
}

export function inviteCommand(program: SitelinkCommand): void {
  program
    .command('invite')
    .description('print a token with which one primary may enrol: it counts once, and for a short time')
    .option('--address <address...>', 'how the primary reaches this agent, as tls://host:7373 (default: as it listens)')
    .option('--name <name>', 'name of the primary in `peer ls` (default: primary-1 and so on)')
    .option('--allow <rights>', `what it may do: replicate, status, promote (default: ${RIGHTS_DEFAULT.join(',')})`)
    .option('--valid <time>', `how long it counts (default: ${formatDuration(INVITATION_MS_DEFAULT)})`)
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} invite --state DIR`,
        `${PROGRAM} invite --address tls://backup.example:7373 --name berlin --valid 1h --state DIR`,
      ]),
    )
    .action(
      action<Options>(async (context) => {
        const { options, output } = context
        const wish: InviteWish = {
          addresses: options.address ?? [],
          name: options.name ?? null,
          rights: options.allow === undefined ? RIGHTS_DEFAULT : rightsOf(options.allow),
          validMs:
            options.valid === undefined
              ? INVITATION_MS_DEFAULT
              : parseDurationMs(options.valid, { min: 1, max: INVITATION_MS_MAX }),
        }
        const invited = await eitherWay<Invited>(context, {
          online: (client) => client.call('invite', wish),
          offline: async ({ state, lock, config }) => {
            const identity = await IdentityFile.open(state, lock)
            const { listen } = config.current
            return invite(
              {
                trust: await openTrust(state, lock),
                clock: new RealClock(),
                random: new RealRandom(),
                own: () => identity.current.fingerprint,
                listening: listen === null ? [] : [listen],
                state: state.path,
              },
              wish,
            )
          },
        })
        output.result(invited, ({ token }) => token)
        output.note(sentenceOf(invited, wish.validMs))
      }),
    )
}

/** What goes with the token, for a person. */
export function sentenceOf({ addresses, name }: Invited, validMs: number): string {
  return (
    `counts once, for ${formatDuration(validMs)}; the primary becomes ${name} and dials ${addresses.join(', ')}\n` +
    'next, there: sitelink slink add 1 --to TOKEN'
  )
}
