/**
 * Addresses of peers: `tcp://host:port`, `tcp://[v6]:port`, `memory:name`, and whatever other schemes look the same.
 *
 * Owns how addresses are read and printed; what parses prints as its normal form, and that parses as the same. It never
 * resolves a name. A refusal names the part that is wrong.
 */
import { ProtocolError } from '../errors.js'

/** A host and a port: of every scheme with `//`. */
export interface HostAddress {
  readonly scheme: string
  /** Name, IPv4 or IPv6 address; the latter without brackets. */
  readonly host: string
  /** 0 to 65535; 0 only to listen on any free port. */
  readonly port: number
}

/** A name within this process. */
export interface NameAddress {
  readonly scheme: 'memory'
  readonly name: string
}

export type Address = HostAddress | NameAddress

const NAME = /^[A-Za-z0-9._-]{1,128}$/
const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/

/** The scheme of `address` without colon; throws `ADDRESS_INVALID` if it has none. */
export function schemeOf(address: string): string {
  const found = /^([a-z][a-z0-9+-]*):/.exec(address)
  if (found === null) throw invalid(address, 'it does not begin with a scheme such as "tcp:"')
  return found[1] as string
}

/** Parses an address; throws `ADDRESS_INVALID`. */
export function parseAddress(address: string): Address {
  const scheme = schemeOf(address)
  const rest = address.slice(scheme.length + 1)
  if (scheme === 'memory') {
    if (!NAME.test(rest))
      throw invalid(address, `"${rest}" is not a name of 1 to 128 letters, digits, dots, dashes or underscores`)
    return { scheme, name: rest }
  }
  if (!rest.startsWith('//')) throw invalid(address, `"//" is missing behind "${scheme}:"`)
  return { scheme, ...parseHostPort(address, rest.slice(2)) }
}

/** Parses an address that must have a host and a port. */
export function parseHostAddress(address: string): HostAddress {
  const parsed = parseAddress(address)
  if ('name' in parsed) throw invalid(address, 'a host and a port are needed')
  return parsed
}

/** Prints an address; {@link parseAddress} reads it back. */
export function formatAddress(address: Address): string {
  if ('name' in address) return `${address.scheme}:${address.name}`
  return `${address.scheme}://${formatHostPort(address.host, address.port)}`
}

/** `host:port`, with brackets around IPv6. */
export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function parseHostPort(address: string, text: string): { host: string; port: number } {
  const bare = isIPv6(text) || isIPv6(text.replace(/:\d*$/, ''))
  if (bare) throw invalid(address, 'an IPv6 address needs brackets')
  const found = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(.*))?$/.exec(text)
  if (found === null) throw invalid(address, `"${text}" is not host:port`)
  const [, v6, name, port] = found
  if (v6 !== undefined && !isIPv6(v6)) throw invalid(address, `"${v6}" is not an IPv6 address`)
  if (name === '') throw invalid(address, 'the host is missing')
  if (name !== undefined && !HOST_NAME.test(name)) throw invalid(address, `"${name}" is not a host name`)
  if (name !== undefined && /^[\d.]+$/.test(name) && !isIPv4(name))
    throw invalid(address, `"${name}" is not an IPv4 address`)
  if (port === undefined || port === '') throw invalid(address, 'the port is missing')
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    throw invalid(address, `"${port}" is not a port from 0 to 65535`)
  return { host: (v6 ?? name) as string, port: Number(port) }
}

/** As the URL standard reads it; a zone (`%eth0`) names something of one host only and is refused. */
function isIPv6(text: string): boolean {
  return /^[0-9A-Fa-f:.]+$/.test(text) && text.includes(':') && URL.canParse(`http://[${text}]/`)
}

function isIPv4(text: string): boolean {
  const parts = text.split('.')
  return parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
}

function invalid(address: string, why: string): ProtocolError {
  return new ProtocolError('ADDRESS_INVALID', { address, why })
}
