/**
 * `sitelink slink ...`: the remote sites and their policies.
 */
import {
  action,
  ConfigFile,
  examples,
  formatTable,
  parseCount,
  parseDurationMs,
  RealClock,
  type CliContext,
  type SitelinkCommand,
  type StateDirectory,
  type StateLock,
} from '@sitelink/daemon/light'
import { decodeToken } from '@sitelink/protocol/light'
import { addSlink, changeSlink, deleteSlink, type SlinkChange } from '../../admin/changes.js'
import { BLOCKDEV_ADDRESS, reachedBy } from '../../blockdev/address.js'
import { primaryErrors } from '../../errors.js'
import { SLINK_NUMBER_MAX } from '../../limits.js'
import { resumePercentOf } from '../../slink/fall-behind.js'
import { mapped } from '../../error-map.js'
import type { AgentLinks } from '../../trust/agent-links.js'
import { wordsOf } from '../../trust/link-plan.js'
import { addedSlink, changedSlink } from '../../trust/slink-wishes.js'
import { printFallBehind, readFallBehind } from '../fall-behind-words.js'
import { linkTermsOf } from '../link-words.js'
import { readConfig } from '../read-config.js'
import { askDaemon, PROGRAM } from '../ask-daemon.js'
import { changeConfig, peersFormat, peerStore } from '../open-state.js'

interface Options {
  readonly to?: string[]
  readonly name?: string
  readonly blockdev?: boolean
  readonly dialedBy?: string
  readonly insecurePlain?: boolean
  readonly policy?: string
  readonly ack?: string
  readonly overflow?: string
  readonly hold?: string
  readonly fallBehind?: string
  readonly limit?: string
  readonly resyncRate?: string
  readonly resyncShare?: string
  readonly inFlight?: string
  readonly compression?: string
  readonly detect?: string
  readonly quic?: string
  readonly unmap?: boolean
}

const slinkNumber = (word: unknown): number =>
  parseCount(word as string, 'slink number', { min: 0, max: SLINK_NUMBER_MAX })

export function slinkCommand(program: SitelinkCommand): void {
  const slink = program.command('slink').description('site links: the remote sites of the group')
  policyOptions(
    slink
      .command('add <number>')
      .description(
        'add a site: one with an agent (--to, --dialed-by), or one whose devices this host reaches (--blockdev)',
      )
      .option(
        '--to <token...>',
        'what `sitelink-agent invite` printed; more addresses may follow, tried in turn: tls://, quic:// or https://host:port',
      )
      .option('--dialed-by <fingerprint>', 'the agent dials (run --listen-agents): the key that it shows')
      .option('--blockdev', 'no agent: its devices are paths of this host, as iSCSI, NBD or NFS bring them'),
  )
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} slink add 1 --to TOKEN --policy async --fall-behind ios=10000 --state DIR`,
        `${PROGRAM} slink add 3 --dialed-by FINGERPRINT --state DIR`,
        `${PROGRAM} slink add 2 --to tcp://near:7373 --insecure-plain --policy sync --ack durable --state DIR`,
        `${PROGRAM} slink add 3 --blockdev --policy async --state DIR`,
      ]),
    )
    .action(
      action<Options>(async (context, word) => {
        const { to, dialedBy, blockdev } = context.options
        if ([to, dialedBy, blockdev].filter((way) => way !== undefined).length !== 1)
          throw primaryErrors.create('SLINK_POLICY', {
            why: 'give one of --to and --dialed-by, for a site with an agent, or --blockdev',
          })
        const reach = blockdev === true ? { addresses: [BLOCKDEV_ADDRESS] } : {}
        const body = { slink: slinkNumber(word), ...changeOf(context.options), ...reach }
        await mapped(() =>
          changeConfig(context, 'slink-add', body, async (config, state, lock) => {
            const links = await linksOf(state, lock)
            return addSlink(config, await addedSlink(links, config, body))
          }),
        )
        context.output.result({ slink: body.slink }, () => `added slink ${body.slink}: ${wayOf(context.options)}`)
      }),
    )
  policyOptions(
    slink
      .command('set <number>')
      .description('change a site; what is not named stays; of 0, the local site, --policy alone')
      .option('--to <address...>', 'addresses of its agent, tried in turn; or a new token')
      .option('--dialed-by <fingerprint>', 'the agent dials (run --listen-agents): the key that it shows'),
  )
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} slink set 1 --fall-behind ios=500,timeout=2s --state DIR`,
        `${PROGRAM} slink set 1 --fall-behind size=64m,resume=80% --state DIR`,
        `${PROGRAM} slink set 1 --compression auto --state DIR`,
        `${PROGRAM} slink set 1 --fall-behind none --policy sync --state DIR`,
        `${PROGRAM} slink set 1 --limit 10m,22:00-06:00=unlimited --resync-share 20 --state DIR`,
        `${PROGRAM} slink set 1 --quic require --state DIR`,
        `${PROGRAM} slink set 0 --policy sync --state DIR`,
      ]),
    )
    .action(
      action<Options>(async (context, word) => {
        const wish = changeOf(context.options)
        if (Object.keys(wish).length === 0)
          throw primaryErrors.create('SLINK_POLICY', {
            why: 'nothing to change: name what is to be changed, as --policy or --limit (see --help)',
          })
        await change(context, slinkNumber(word), wish, 'changed')
      }),
    )
  slink
    .command('del <number>')
    .description('delete a site; what is at the agent stays')
    .option('--unmap', 'although devices are mapped to it')
    .addHelpText('after', examples([`${PROGRAM} slink del 1 --unmap --state DIR`]))
    .action(
      action<Options>(async (context, word) => {
        const number = slinkNumber(word)
        const unmap = context.options.unmap === true
        await changeConfig(context, 'slink-del', { slink: number, unmap }, async (config, state, lock) => {
          const next = deleteSlink(config, number, unmap)
          await peerStore(await ConfigFile.open(state, lock, peersFormat)).set(number, null)
          await (await linksOf(state, lock)).forget(number)
          return next
        })
        context.output.result({ slink: number, deleted: true }, () => `deleted slink ${number}`)
      }),
    )
  slink
    .command('pause <number>')
    .description('end the session with a site and do not connect; the log, then the dirty logs, keep what it misses')
    .addHelpText('after', examples([`${PROGRAM} slink pause 1 --state DIR`]))
    .action(action(async (context, word) => change(context, slinkNumber(word), { paused: true }, 'paused')))
  slink
    .command('resume <number>')
    .description('connect to a paused site again')
    .addHelpText('after', examples([`${PROGRAM} slink resume 1 --state DIR`]))
    .action(action(async (context, word) => change(context, slinkNumber(word), { paused: false }, 'resumed')))
  slink
    .command('drop <number>')
    .description(
      'give up the place of a site in the log, so that the log has room: the site gets copies of what it misses instead',
    )
    .addHelpText('after', examples([`${PROGRAM} slink drop 1 --state DIR`]))
    .action(
      action(async (context, word) => {
        const number = slinkNumber(word)
        const { dropped } = await askDaemon(context, (client) =>
          client.call<{ dropped: boolean }>('slink-drop', { slink: number }),
        )
        context.output.result({ slink: number, dropped }, () =>
          dropped
            ? `slink ${number} has no place in the log any more, its dirty logs know what it misses`
            : `slink ${number} has no place in the log that could be given up`,
        )
      }),
    )
  slink
    .command('ls')
    .description('list the sites')
    .addHelpText('after', examples([`${PROGRAM} slink ls --json --state DIR`]))
    .action(
      action(async (context) => {
        const slinks = (await readConfig(context)).slinks.map(({ fallBehind, ...slink }) => {
          return { ...slink, fallBehind: { ...fallBehind, resumePercent: resumePercentOf(fallBehind) } }
        })
        context.output.result(slinks, () =>
          formatTable(
            slinks,
            [
              { title: 'SLINK', cell: (row) => String(row.number), align: 'right' },
              { title: 'NAME', cell: (row) => row.name ?? '-' },
              { title: 'POLICY', cell: (row) => row.mode },
              { title: 'ACK', cell: (row) => row.ack },
              { title: 'OVERFLOW', cell: (row) => row.overflow },
              { title: 'FALL-BEHIND', cell: (row) => printFallBehind(row.fallBehind) },
              { title: 'PAUSED', cell: (row) => (row.paused ? 'yes' : 'no') },
              { title: 'DEVICES', cell: (row) => String(row.mappings.length), align: 'right' },
              { title: 'ADDRESSES', cell: (row) => row.addresses.join(' ') },
            ],
            context.output.columns,
            'no slinks',
          ),
        )
      }),
    )
}

/** The keys of a state directory that no daemon holds; nobody else needs what opens them. */
async function linksOf(state: StateDirectory, lock: StateLock): Promise<AgentLinks> {
  const { openAgentLinks } = await import('../open-links.js')
  return openAgentLinks(state, lock, new RealClock())
}

/** Where a slink that was added leads. */
function wayOf({ to = [], dialedBy, blockdev }: Options): string {
  if (blockdev === true) return reachedBy([BLOCKDEV_ADDRESS])
  if (dialedBy !== undefined) return `the agent ${dialedBy.slice(0, 16)} dials`
  const { addresses, invitation } = wordsOf(to)
  return reachedBy(addresses.length > 0 ? addresses : decodeToken(invitation ?? '').addresses)
}

function policyOptions(command: SitelinkCommand): SitelinkCommand {
  return command
    .option('--name <name>', 'what people call the site; "none" takes it away')
    .option('--insecure-plain', 'yes, use tcp:// addresses: neither encrypted nor authenticated')
    .option('--policy <policy>', 'async: answer writers at once; sync: wait for the site')
    .option('--ack <level>', 'sync: answer when the site has the write received, or durable')
    .option(
      '--overflow <policy>',
      'when the log is full because of it: drop to dirty logs, stall writers, or fail them',
    )
    .option('--hold <time>', 'how long writers wait for a site that makes no progress (3s), or "default"')
    .option(
      '--fall-behind <limits>',
      'async: wait for the site beyond ios=N, size=BYTES, timeout=TIME; resume=80%: until it is within that part of all; comma between, "none" to clear',
    )
    .option(
      '--limit <rate>',
      'bytes per second for all that is sent, and other rates by local time of day: 10m,22:00-06:00=unlimited',
    )
    .option('--resync-rate <bytes>', 'upper bound of a resync within the limit, in bytes per second; 0: none')
    .option('--resync-share <percent>', 'part of the link that a resync is sure of while writes wait (50)')
    .option('--in-flight <limits>', 'wait for the site beyond ios=N or size=BYTES not yet received; "none" to clear')
    .option('--compression <mode>', 'compress what is sent: off, on, or auto, which stops where it is not worth while')
    .option('--detect <time>', 'a site that is silent for so long is lost (3s)')
    .option(
      '--quic <mode>',
      'https:// addresses over HTTP/3: auto, where it can be had, else HTTP/2; require it; or never (auto)',
    ) as SitelinkCommand
}

async function change(
  context: CliContext<unknown>,
  number: number,
  wish: SlinkChange | Record<string, unknown>,
  done: string,
): Promise<void> {
  await mapped(() =>
    changeConfig(context, 'slink-set', { slink: number, ...wish }, async (config, state, lock) => {
      const links = await linksOf(state, lock)
      const changed = await changedSlink(links, config, { slink: number, ...wish })
      return changeSlink(config, number, changed.change)
    }),
  )
  context.output.result({ slink: number }, () => `${done} slink ${number}`)
}

function changeOf(options: Options): Record<string, unknown> {
  return {
    ...(options.to === undefined ? {} : toOf(options.to)),
    ...(options.dialedBy === undefined ? {} : { dialedBy: options.dialedBy }),
    ...(options.name === undefined ? {} : { name: options.name === 'none' ? null : options.name }),
    ...(options.insecurePlain === true ? { insecurePlain: true } : {}),
    ...(options.policy === undefined ? {} : { mode: word(options.policy, '--policy', ['async', 'sync']) }),
    ...(options.ack === undefined ? {} : { ack: word(options.ack, '--ack', ['received', 'durable']) }),
    ...(options.overflow === undefined
      ? {}
      : { overflow: word(options.overflow, '--overflow', ['drop', 'stall', 'fail']) }),
    ...(options.hold === undefined
      ? {}
      : { holdMs: options.hold === 'default' ? null : parseDurationMs(options.hold) }),
    ...(options.fallBehind === undefined ? {} : { fallBehind: readFallBehind(options.fallBehind) }),
    ...linkTermsOf(options),
  }
}

/** The words behind `--to`, as the verbs take them. */
function toOf(words: readonly string[]): Record<string, unknown> {
  const { addresses, invitation } = wordsOf(words)
  return { ...(addresses.length > 0 ? { addresses } : {}), ...(invitation === null ? {} : { invitation }) }
}

function word(value: string, option: string, words: readonly string[]): string {
  if (!words.includes(value))
    throw primaryErrors.create('SLINK_POLICY', { why: `${option} "${value}" should be one of ${words.join(', ')}` })
  return value
}
