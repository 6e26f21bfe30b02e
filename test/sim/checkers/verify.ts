/**
 * A verify finds no difference at a site that nobody changed behind the back of the programs, whatever happens meanwhile; once
 * everything has healed it compares every byte.
 *
 * The operator starts verifies; here their ends are judged. Where the log rots, a local device may miss what a site has.
 */
import { verifySite, type VerifyReport } from '@sitelink/primary'
import type { Simulation } from '../simulation.js'
import { demand } from '../violation.js'
import type { MakeChecker } from './checker.js'

/** Verifies a whole site; waits for it so long. Rejects as the verb does. */
export async function verifyOf({ world }: Simulation, slink: number, waitMs: number): Promise<VerifyReport> {
  const { group, admin } = world.primary
  const wish = { slink, device: null, mark: false, waitMs }
  const steps = verifySite(group, admin, wish, new AbortController().signal)
  for (;;) {
    const step = await steps.next()
    if (step.done === true) return step.value
  }
}

export const verifyChecker: MakeChecker = (sim) => {
  const { world, cast, scenario } = sim
  const judge = ({ slink, different }: VerifyReport): void =>
    demand(
      'verify',
      different.length === 0 || scenario.families.has('rot'),
      () => `a verify of slink ${slink} finds a difference: ${JSON.stringify(different)}`,
    )
  return {
    stepped() {
      for (const report of cast.verified.splice(0)) judge(report)
    },
    async healed() {
      for (const { slink } of cast.present) {
        if (world.primary.slink(slink).mappings.size === 0) continue
        const report = await world.run(verifyOf(sim, slink, 0))
        judge(report)
        const { equalBytes, totalBytes } = report
        demand(
          'verify',
          equalBytes === totalBytes || scenario.families.has('rot'),
          () => `a verify of slink ${slink} compares ${equalBytes} of ${totalBytes} bytes`,
        )
      }
    },
  }
}
