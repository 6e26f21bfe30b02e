/**
 * `sitelink-agent peer ...`: the primaries that this agent knows, and an end to the trust in one.
 */
import { action, examples, formatTable, RealClock, type SitelinkCommand } from '@sitelink/daemon/light'
import { nowMs } from '../../trust/gatekeeper.js'
import { peerList, type PeerList } from '../../trust/peer-rows.js'
import { RIGHTS_DEFAULT } from '../../trust/invite.js'
import { short, withoutPeer, withPeer } from '../../trust/trust.js'
import { openTrust } from '../links.js'
import { eitherWay, PROGRAM } from '../surroundings.js'

export function peerCommand(program: SitelinkCommand): void {
  const peer = program.command('peer').description('primaries that are enrolled here')
  peer
    .command('ls')
    .description('list peers, what they may do, and open invitations')
    .addHelpText('after', examples([`${PROGRAM} peer ls --state DIR`]))
    .action(
      action(async (context) => {
        const list = await eitherWay<PeerList>(context, {
          online: (client) => client.call('peer-ls', {}),
          offline: async ({ state, lock }) => peerList((await openTrust(state, lock)).current, nowMs(new RealClock())),
        })
        context.output.result(list, (value) => peerTable(value, context.output.columns))
      }),
    )
  peer
    .command('add <name> <fingerprint>')
    .description('trust a primary by its fingerprint, where it cannot reach this host and no token can be used')
    .addHelpText('after', examples([`${PROGRAM} peer add primary FINGERPRINT --state DIR`]))
    .action(
      action(async (context, ...words) => {
        const [name, fingerprint] = words as [string, string]
        await eitherWay<unknown>(context, {
          online: (client) => client.call('peer-add', { name, fingerprint }),
          offline: async ({ state, lock }) => {
            const added = { name, fingerprint, rights: RIGHTS_DEFAULT }
            await (await openTrust(state, lock)).update((current) => withPeer(current, added, nowMs(new RealClock())))
          },
        })
        context.output.result({ name, fingerprint }, () => `${name} is trusted as ${short(fingerprint)}`)
      }),
    )
  peer
    .command('revoke <peer>')
    .description(
      'end the trust in a peer, by its name or the first digits of its fingerprint; its session ends at once',
    )
    .addHelpText('after', examples([`${PROGRAM} peer revoke primary-1 --state DIR`]))
    .action(
      action(async (context, word) => {
        const name = word as string
        const { name: revoked, fingerprint } = await eitherWay<{ name: string; fingerprint: string }>(context, {
          online: (client) => client.call('peer-revoke', { name }),
          offline: async ({ state, lock }) => {
            const trust = await openTrust(state, lock)
            const { peer: found } = withoutPeer(trust.current, name, nowMs(new RealClock()))
            await trust.update((current) => withoutPeer(current, name, nowMs(new RealClock())).trust)
            return found
          },
        })
        context.output.result({ name: revoked, fingerprint, revoked: true }, () => `${revoked} is not trusted any more`)
      }),
    )
}

interface Row {
  readonly name: string
  readonly rights: readonly string[]
  readonly state: string
  readonly fingerprint: string
}

function peerTable({ peers, invitations }: PeerList, columns: number): string {
  const rows: Row[] = [
    ...peers.map(({ name, rights, revokedMs, fingerprint }) => ({
      name,
      rights,
      state: revokedMs === null ? 'enrolled' : 'revoked',
      fingerprint: short(fingerprint),
    })),
    ...invitations.map(({ name, rights }) => ({ name, rights, state: 'invited', fingerprint: '-' })),
  ]
  return formatTable(
    rows,
    [
      { title: 'PEER', cell: (row) => row.name },
      { title: 'STATE', cell: (row) => row.state },
      { title: 'MAY', cell: (row) => row.rights.join(', ') },
      { title: 'FINGERPRINT', cell: (row) => row.fingerprint },
    ],
    columns,
    'no peers',
  )
}
