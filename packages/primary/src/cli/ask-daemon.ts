/**
 * What every verb of `sitelink` needs: the name of the program, and the way to a daemon that alone can answer.
 */
import { withDaemon, type CliContext, type ControlClient } from '@sitelink/daemon/light'

export const PROGRAM = 'sitelink'

/** A verb that only a running daemon can answer. */
export async function askDaemon<T>(
  context: CliContext<unknown>,
  run: (client: ControlClient) => Promise<T>,
): Promise<T> {
  return withDaemon(await context.state(), run, { onWaiting: (message) => context.output.note(message) })
}
