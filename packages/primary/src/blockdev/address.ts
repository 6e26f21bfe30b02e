/**
 * How a slink says that its devices are reached from this host: by an address of its own scheme.
 *
 * Pure. A slink has this one address, or those of its agent; a blockdev site is dialled like any other, and answers from
 * within the process. Invariant: the type of a slink follows from its addresses and from nothing else.
 */
export const BLOCKDEV_SCHEME = 'blockdev'

/** The only address of the scheme: which devices they are is said by the mappings. */
export const BLOCKDEV_ADDRESS = `${BLOCKDEV_SCHEME}:`

export type SlinkType = 'agent' | 'blockdev'

export function slinkType({ addresses }: { readonly addresses: readonly string[] }): SlinkType {
  return addresses.includes(BLOCKDEV_ADDRESS) ? 'blockdev' : 'agent'
}

export function isBlockdev(slink: { readonly addresses: readonly string[] }): boolean {
  return slinkType(slink) === 'blockdev'
}

/** How a site is reached, for a sentence. */
export function reachedBy(addresses: readonly string[]): string {
  return isBlockdev({ addresses }) ? 'devices of this host' : addresses.join(', ')
}
