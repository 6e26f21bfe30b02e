/**
 * A slink that is added or changed, from the body of the verb to the wish that the group takes: its link made ready.
 *
 * Owns the order that the daemon and a command without one share: the whole wish is judged first, then the invitation is
 * used up and pinned, and only then does the caller change the configuration. A refusal has used up nothing.
 */
import type { QuicMode } from '@sitelink/protocol'
import { addSlink, changeSlink, type NewSlink, type SlinkChange } from '../admin/changes.js'
import { linkWish, slinkChange, slinkNumberOf, slinkWish } from '../admin/wishes.js'
import type { GroupConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import type { AgentLinks } from './agent-links.js'

export async function addedSlink(links: AgentLinks, config: GroupConfig, body: unknown): Promise<NewSlink> {
  const { link, rest } = linkWish(body)
  const wish = slinkWish(rest)
  const check = (addresses: readonly string[]): void => {
    addSlink(config, { ...wish, addresses })
    refuseIdleQuic(wish.number, wish.quic, addresses)
  }
  const taking = { isNew: true, quic: wish.quic ?? 'auto', check }
  return { ...wish, addresses: await links.prepare(wish.number, wish.addresses, link, taking) }
}

export async function changedSlink(
  links: AgentLinks,
  config: GroupConfig,
  body: unknown,
): Promise<{ readonly number: number; readonly change: SlinkChange }> {
  const { link, rest } = linkWish(body)
  const { slink, ...words } = rest
  const number = slinkNumberOf({ slink })
  const change = slinkChange(words)
  const present = config.slinks.find((one) => one.number === number)
  if (change.addresses === undefined && link.invitation === null && link.dialedBy === null) {
    refuseIdleQuic(number, change.quic, present?.addresses)
    if (change.quic === 'require') await links.requireHttp3(present?.addresses ?? [])
    return { number, change }
  }
  const check = (addresses: readonly string[]): void => {
    changeSlink(config, number, { ...change, addresses })
    refuseIdleQuic(number, change.quic, addresses)
  }
  const taking = { isNew: false, quic: change.quic ?? present?.quic ?? 'auto', check }
  const addresses = await links.prepare(number, change.addresses ?? [], link, taking)
  return { number, change: { ...change, addresses } }
}

/** `--quic` is of no use where nothing goes over HTTPS: whoever says it means something else. */
function refuseIdleQuic(slink: number, quic: QuicMode | undefined, addresses: readonly string[] = []): void {
  if (quic === undefined || quic === 'auto' || addresses.length === 0) return
  if (!addresses.some((address) => address.startsWith('https:')))
    throw primaryErrors.create('LINK_QUIC_IDLE', { mode: quic, slink })
}
