/**
 * The control verbs of identity and peers: each checks its body and calls the one who knows. No logic of its own.
 */
import type { ControlServer } from '@sitelink/daemon'
import { bodyOf, slinkNumberOf } from '../admin/wishes.js'
import type { GroupConfig } from '../config.js'
import { mapped } from '../error-map.js'
import type { AgentLinks } from '../trust/agent-links.js'
import { peerRows } from '../trust/peer-rows.js'

/** Registers every verb of identity and peers. */
export function registerPeerVerbs(server: ControlServer, links: AgentLinks, config: () => GroupConfig): void {
  server.verb('peer-ls', () => peerRows(config(), links.pins))
  server.verb('peer-revoke', (body) =>
    mapped(async () => {
      const slink = slinkNumberOf(bodyOf(body, ['slink']))
      const { fingerprint } = await links.revoke(slink)
      return { slink, fingerprint }
    }),
  )
  server.verb('identity-rotate', () => mapped(() => links.rotate()))
}
