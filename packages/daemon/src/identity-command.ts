/**
 * `identity show` and `identity rotate`, which are the same for both programs.
 *
 * Owns the words. A running daemon rotates by itself (verb `identity-rotate`), so that its next connection shows the new
 * key; without one the file is changed under the lock. It never prints a private key.
 */
import { action, examples, type SitelinkCommand } from './cli.js'
import { withDaemonOrLock } from './offline-or-online.js'

/** Adds both verbs to a program. */
export function identityCommand(program: SitelinkCommand): void {
  const name = program.name()
  const identity = program.command('identity').description('the key by which this side is known on encrypted links')
  identity
    .command('show')
    .description('print the fingerprint: the SHA-256 of the public key')
    .addHelpText('after', examples([`${name} identity show --state DIR`]))
    .action(
      action(async (context) => {
        const { IdentityFile, readIdentity } = await import('./identity.js')
        const state = await context.state()
        const found =
          (await readIdentity(state)) ??
          (await withDaemonOrLock(state, {
            online: () => readIdentity(state),
            offline: async (lock) => (await IdentityFile.open(state, lock)).current,
          }))
        context.output.result({ fingerprint: found?.fingerprint ?? null }, ({ fingerprint }) => fingerprint ?? 'none')
      }),
    )
  identity
    .command('rotate')
    .description('make another key, signed by the present one, which is given up; peers follow by themselves')
    .addHelpText('after', examples([`${name} identity rotate --state DIR`]))
    .action(
      action(async (context) => {
        const { IdentityFile } = await import('./identity.js')
        const state = await context.state()
        const { fingerprint } = await withDaemonOrLock<{ readonly fingerprint: string }>(
          state,
          {
            online: (client) => client.call('identity-rotate', {}),
            offline: async (lock) => (await IdentityFile.open(state, lock)).rotate(),
          },
          { onWaiting: (message) => context.output.note(message) },
        )
        context.output.result(
          { fingerprint },
          () => `the identity is ${fingerprint} now; peers that know the old one follow when they meet it`,
        )
      }),
    )
}
