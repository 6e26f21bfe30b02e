/**
 * `sitelink log ...`: looks into the replog while no daemon has it, and applies it without one.
 */
import { action, RealClock, RealRandom, type SitelinkCommand } from '@sitelink/daemon'
import { NodeDiskProvider } from '@sitelink/storage'
import { mapError } from '../../error-map.js'
import { primaryErrors } from '../../errors.js'
import { openGroup } from '../../group/open-group.js'
import { alone, PROGRAM } from '../open-state.js'

/** How long applying may take before it gives up on a device that does not work. */
const APPLY_MS_MAX = 600_000

export function logCommand(program: SitelinkCommand): void {
  const log = program.command('log').description('the replog, off line: no daemon may run')
  log
    .command('apply')
    .description('apply everything in the log to the local devices, so that they are whole without the daemon')
    .action(
      action(async (context) => {
        const lsn = await alone(context, async (state, _lock, config) => {
          const problems: string[] = []
          const group = await openGroup({
            clock: new RealClock(),
            random: new RealRandom(),
            disks: new NodeDiskProvider(),
            config: {
              current: config,
              update: () => Promise.reject(new Error(`${PROGRAM} log apply changes no configuration`)),
            },
            peers: { get: () => null, set: () => Promise.resolve() },
            event: ({ level, message }) => {
              if (level !== 'info') problems.push(message)
            },
            transport: () => null,
            dirtyLogPath: (slink, mappingId) => state.file(`dirty/slink-${slink}-${mappingId}.dirty`),
          }).catch((error: unknown) => {
            throw mapError(error)
          })
          const target = group.log.lastLsn
          await group.stop(APPLY_MS_MAX)
          if (group.writeBack.appliedLsn < target)
            throw primaryErrors.create('DRAIN_TIMEOUT', {
              ms: APPLY_MS_MAX,
              why: problems.join('; ') || 'the devices do not work',
            })
          return target
        })
        context.output.result({ appliedLsn: lsn }, () => `the local devices have everything up to LSN ${lsn}`)
      }),
    )
}
