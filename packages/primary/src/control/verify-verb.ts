/**
 * The verify at the control API of a running group: a stream that ends with what was found. It is stopped by its client.
 */
import type { ControlServer } from '@sitelink/daemon'
import { bodyOf, deviceNumberOf, flagOf, integerOf, slinkNumberOf } from '../admin/wishes.js'
import type { GroupAdmin } from '../group/group-admin.js'
import type { Group } from '../group/group.js'
import { verifySite } from '../verify/verify-site.js'

const WAIT_MS_DEFAULT = 10_000

export function registerVerifyVerb(server: ControlServer, group: Group, admin: GroupAdmin): void {
  server.stream('verify', (body, { signal }) => {
    const fields = bodyOf(body, ['slink', 'device', 'mark', 'waitMs'])
    const wish = {
      slink: slinkNumberOf(fields),
      device: (fields['device'] ?? null) === null ? null : deviceNumberOf(fields),
      mark: flagOf(fields, 'mark'),
      waitMs: 'waitMs' in fields ? integerOf(fields, 'waitMs', 0, 3_600_000) : WAIT_MS_DEFAULT,
    }
    return verifySite(group, admin, wish, signal)
  })
}
