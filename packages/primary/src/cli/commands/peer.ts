/**
 * `sitelink peer ...`: the agents whose identities are pinned, and an end to the trust in one.
 */
import {
  action,
  ConfigFile,
  examples,
  formatTable,
  parseCount,
  RealClock,
  withDaemonOrLock,
  type SitelinkCommand,
} from '@sitelink/daemon/light'
import { mapped } from '../../error-map.js'
import { SLINK_NUMBER_MAX } from '../../limits.js'
import { peerRows, type PeerRow } from '../../trust/peer-rows.js'
import { PROGRAM } from '../ask-daemon.js'
import { configFormat } from '../open-state.js'

export function peerCommand(program: SitelinkCommand): void {
  const peer = program.command('peer').description('agents whose identities are pinned, one for each slink')
  peer
    .command('ls')
    .description('list slinks and the identities of their agents')
    .addHelpText('after', examples([`${PROGRAM} peer ls --state DIR`]))
    .action(
      action(async (context) => {
        const state = await context.state()
        const rows = await withDaemonOrLock<readonly PeerRow[]>(state, {
          online: (client) => client.call('peer-ls', {}),
          offline: async (lock) => {
            const { openAgentLinks } = await import('../open-links.js')
            const links = await openAgentLinks(state, lock, new RealClock())
            return peerRows((await ConfigFile.open(state, lock, configFormat)).current, links.pins)
          },
        })
        context.output.result(rows, () =>
          formatTable(
            rows,
            [
              { title: 'SLINK', cell: (row) => String(row.slink), align: 'right' },
              { title: 'FINGERPRINT', cell: (row) => row.fingerprint?.slice(0, 16) ?? 'none' },
              { title: 'ADDRESSES', cell: (row) => row.addresses.join(' ') },
            ],
            context.output.columns,
            'no slinks',
          ),
        )
      }),
    )
  peer
    .command('revoke <slink>')
    .description('end the trust in the agent of a slink; its session ends at once, and a new token is needed')
    .addHelpText('after', examples([`${PROGRAM} peer revoke 1 --state DIR`]))
    .action(
      action(async (context, word) => {
        const slink = parseCount(word as string, 'slink number', { min: 1, max: SLINK_NUMBER_MAX })
        const state = await context.state()
        const { fingerprint } = await withDaemonOrLock<{ readonly fingerprint: string }>(
          state,
          {
            online: (client) => client.call('peer-revoke', { slink }),
            offline: async (lock) =>
              mapped(async () => {
                const { openAgentLinks } = await import('../open-links.js')
                return (await openAgentLinks(state, lock, new RealClock())).revoke(slink)
              }),
          },
          { onWaiting: (message) => context.output.note(message) },
        )
        context.output.result(
          { slink, fingerprint, revoked: true },
          () => `the agent of slink ${slink} is not trusted any more; to enrol it anew: slink set ${slink} --to TOKEN`,
        )
      }),
    )
}
