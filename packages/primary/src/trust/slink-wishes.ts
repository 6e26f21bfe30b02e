/**
 * A slink that is added or changed, from the body of the verb to the wish that the group takes: its link made ready.
 *
 * Owns the order that the daemon and a command without one share: the whole wish is judged first, then the invitation is
 * used up and pinned, and only then does the caller change the configuration. A refusal has used up nothing.
 */
import { addSlink, changeSlink, type NewSlink, type SlinkChange } from '../admin/changes.js'
import { linkWish, slinkChange, slinkNumberOf, slinkWish } from '../admin/wishes.js'
import type { GroupConfig } from '../config.js'
import type { AgentLinks } from './agent-links.js'

export async function addedSlink(links: AgentLinks, config: GroupConfig, body: unknown): Promise<NewSlink> {
  const { link, rest } = linkWish(body)
  const wish = slinkWish(rest)
  const check = (addresses: readonly string[]): void => void addSlink(config, { ...wish, addresses })
  return { ...wish, addresses: await links.prepare(wish.number, wish.addresses, link, { isNew: true, check }) }
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
  if (change.addresses === undefined && link.invitation === null && link.dialedBy === null) return { number, change }
  const check = (addresses: readonly string[]): void => void changeSlink(config, number, { ...change, addresses })
  const addresses = await links.prepare(number, change.addresses ?? [], link, { isNew: false, check })
  return { number, change: { ...change, addresses } }
}
