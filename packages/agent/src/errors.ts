/**
 * The agent's slice of the error registry, and how errors of the rooms below become coded ones.
 *
 * Owns the texts; what they say beyond one line stands in `about`. Everything that refuses says what is kept and what the
 * operator can do next.
 */
import { defineErrors, EXIT, SitelinkError, type Facts } from '@sitelink/daemon/light'
import { ListenError } from '@sitelink/nbd/light'
import { ProtocolError } from '@sitelink/protocol/light'
import { DiskError, LogError } from '@sitelink/storage/light'

const FORGET = '<prog> run --forget-journal --state {state}'

export const agentErrors = defineErrors('agent', {
  // Journal and replica.
  AGENT_JOURNAL_MISSING: {
    kind: 'operating',
    retry: false,
    exit: EXIT.noInput,
    text: 'the journal {path} is not there',
    hint: `bring it back, or give it up: ${FORGET}`,
    about:
      'Giving a journal up loses what it held and is followed by a full resync. Nothing is created in its place without --forget-journal.',
  },
  AGENT_JOURNAL_FOREIGN: {
    kind: 'operating',
    retry: false,
    exit: EXIT.data,
    text: 'the journal {path} is not the one of this state directory: {why}',
    hint: `name the right one, or give it up: ${FORGET}`,
  },
  AGENT_JOURNAL_DAMAGED: {
    kind: 'corruption',
    retry: false,
    exit: EXIT.data,
    text: 'the journal {path} cannot be opened: {why}',
    hint: `repair the disk, or give the journal up: ${FORGET}`,
    about:
      'The agent does not start on a damaged journal, because that would hide what was lost. With --forget-journal every region is dirty, durably, before the journal is made anew; the primary then copies everything.',
  },
  AGENT_JOURNAL_TAKEN: {
    kind: 'operating',
    retry: false,
    exit: EXIT.cantCreate,
    text: 'cannot make a journal of {path}: {why}',
    hint: 'name another path with --journal',
  },
  AGENT_JOURNAL_FAILED: {
    kind: 'operating',
    retry: false,
    exit: EXIT.ioError,
    text: 'the journal {path} failed: {why}',
    hint: 'repair the disk, then: <prog> run --state {state}',
    about:
      'What a failed sync left on the disk is not known, so nothing more is taken until the journal is opened and recovered anew.',
  },
  AGENT_REPLICA_DAMAGED: {
    kind: 'corruption',
    retry: false,
    exit: EXIT.data,
    text: 'cannot read {path}: {why}',
    hint: `restore the file, or give the replica up: ${FORGET}`,
  },
  AGENT_REPLICA_TOO_NEW: {
    kind: 'operating',
    retry: false,
    exit: EXIT.unavailable,
    text: '{path} has version {version}, this release knows {versionMax}',
    hint: 'run the newer release',
  },

  // Devices.
  AGENT_DEVICE_NAME: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: '"{name}" is not a name for a device: {why}',
    hint: 'use letters, digits, dots, dashes and underscores',
  },
  AGENT_DEVICE_EXISTS: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: 'there is a device {name} already: {path}',
    hint: '<prog> device ls --state {state}',
  },
  AGENT_DEVICE_UNKNOWN: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: 'there is no device {name}',
    hint: '<prog> device ls --state {state}',
  },
  AGENT_DEVICE_TWICE: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: '{path} is in use already: it is {owner}',
    hint: '<prog> device ls --state {state}',
    about: 'One file or block device under two names would be written by two devices at once.',
  },
  AGENT_DEVICE_MAPPED: {
    kind: 'operating',
    retry: false,
    exit: EXIT.tempFail,
    text: 'device {name} is mapped by the primary as device {deviceId}',
    hint: 'unmap it at the primary first, or repeat with --force',
  },
  AGENT_DEVICE_COUNT: {
    kind: 'operating',
    retry: false,
    exit: EXIT.unavailable,
    text: 'there are {countMax} devices, more cannot be had',
    hint: null,
  },
  AGENT_DEVICE_UNUSABLE: {
    kind: 'operating',
    retry: true,
    exit: EXIT.noInput,
    text: 'device {name} cannot be used: {why}',
    hint: '<prog> device ls --state {state}',
  },
  AGENT_DEVICE_PRESENT: {
    kind: 'operating',
    retry: false,
    exit: EXIT.cantCreate,
    text: 'cannot create {path}: something is there already',
    hint: 'leave --create away to use what is there',
  },

  // Export.
  AGENT_EXPORT_INCONSISTENT: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'the replica is not consistent: {why}',
    hint: 'wait for the resync to end, or repeat with --force to read it as it is',
  },
  AGENT_EXPORT_BUSY: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'device {name} is exported already',
    hint: '<prog> status',
  },
  AGENT_EXPORT_STUCK: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'the devices did not reach the point of the export within {timeoutMs} ms: {why}',
    hint: '<prog> status --state {state}',
  },
  AGENT_EXPORT_ENDED: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'the export of {name} ended: {why}',
    hint: 'repeat it with --hold to keep it whatever fills the journal',
  },

  // Peers.
  AGENT_PEER_NAME: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: '"{name}" is not a name for a peer: it should be 1 to 63 letters, digits, dots, dashes and underscores',
    hint: '<prog> invite --help',
  },
  AGENT_PEER_EXISTS: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: 'there is a peer or an invitation with the name {name} already',
    hint: '<prog> peer ls',
  },
  AGENT_PEER_UNKNOWN: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: '{name} names no peer, or more than one, or one that was revoked already',
    hint: '<prog> peer ls',
  },
  AGENT_PEER_FINGERPRINT: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: '"{fingerprint}" is not a fingerprint: it should be 64 hex digits, as sitelink identity show prints them',
    hint: '<prog> peer add --help',
  },
  AGENT_PEERS_FULL: {
    kind: 'operating',
    retry: false,
    exit: EXIT.usage,
    text: 'there are {max} peers already, and none of them is revoked',
    hint: '<prog> peer revoke PEER',
  },
  AGENT_PEER_RIGHTS: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: '"{word}" is not a list of rights: {why}',
    hint: 'write it as --allow replicate,status,promote, or some of them',
  },
  AGENT_INVITE_ADDRESS: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: 'an invitation needs the address by which the primary reaches this agent: {why}',
    hint: '<prog> invite --address tls://HOST:7373 --state {state}',
  },

  // Running.
  AGENT_LISTEN_PLAIN: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: '{address} is neither encrypted nor authenticated: whoever reaches it can replace the replica',
    hint: 'listen on tls:// instead, or add --insecure-plain if the network is private',
  },
  AGENT_DIAL_PLAIN: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: 'an agent dials a primary over tls:// only, not {address}',
    hint: '<prog> run --dial tls://primary:7374',
  },
  AGENT_LISTEN_UNNAMED: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: 'no address to listen on: neither --listen nor the configuration names one',
    hint: '<prog> run --listen tls://0.0.0.0:7373 --state {state}, or --dial tls://primary:7374',
  },
  AGENT_LINK_HTTP3: {
    kind: 'operating',
    retry: false,
    exit: EXIT.unavailable,
    text: '{what}',
    hint: 'repeat with --quic auto, which takes HTTP/2 where HTTP/3 cannot be had; how to have it: docs/operating/links.md',
    about:
      'HTTP/3 needs an optional library at both ends, whose native part does not come with it. --quic require takes nothing else.',
  },
  AGENT_QUIC_MODE: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: '--quic "{mode}" {why}',
    hint: '<prog> run --listen https://0.0.0.0:7373 --quic auto',
  },
  AGENT_LINK_LIBRARY: {
    kind: 'operating',
    retry: false,
    exit: EXIT.unavailable,
    text: '{what}',
    hint: 'install that package beside <prog>, or listen on tls://, which needs nothing else',
    about:
      'QUIC comes from an optional library, one package for each system. Everything else works without it; both ends of a link need it.',
  },
  AGENT_CLOSED: { kind: 'operating', retry: true, exit: EXIT.tempFail, text: 'the agent is stopping', hint: null },

  // What the rooms below report.
  AGENT_DISK_MISSING: { kind: 'operating', retry: false, exit: EXIT.noInput, text: '{what}', hint: 'check the path' },
  AGENT_DISK_REFUSED: {
    kind: 'operating',
    retry: false,
    exit: EXIT.noPermission,
    text: '{what}',
    hint: 'see that the user who runs <prog> may use it',
  },
  AGENT_DISK_BUSY: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: '{what}',
    hint: 'stop what uses it, or unmount it',
  },
  AGENT_DISK_FULL: {
    kind: 'operating',
    retry: true,
    exit: EXIT.cantCreate,
    text: '{what}',
    hint: 'make room, or choose a smaller size',
  },
  AGENT_DISK_UNFIT: {
    kind: 'operating',
    retry: false,
    exit: EXIT.cantCreate,
    text: '{what}',
    hint: 'give another path',
  },
  AGENT_DISK_FAILED: {
    kind: 'operating',
    retry: false,
    exit: EXIT.ioError,
    text: '{what}',
    hint: 'see the kernel log for the health of the disk',
  },
  AGENT_ADDRESS: { kind: 'usage', retry: false, exit: EXIT.usage, text: '{what}', hint: 'write it as tls://host:port' },
  AGENT_NETWORK: {
    kind: 'operating',
    retry: true,
    exit: EXIT.unavailable,
    text: '{what}',
    hint: 'stop the other program or choose another address',
  },
  AGENT_LOG: {
    kind: 'corruption',
    retry: false,
    exit: EXIT.data,
    text: '{what}',
    hint: '<prog> log check --state DIR',
  },
})

const DISK_ERRORS: Readonly<Record<string, Parameters<typeof agentErrors.create>[0]>> = {
  DISK_MISSING: 'AGENT_DISK_MISSING',
  DISK_IN_USE: 'AGENT_DISK_BUSY',
  DISK_NOT_PERMITTED: 'AGENT_DISK_REFUSED',
  DISK_READ_ONLY: 'AGENT_DISK_REFUSED',
  DISK_FULL: 'AGENT_DISK_FULL',
  DISK_EXISTS: 'AGENT_DISK_UNFIT',
  DISK_NOT_A_DEVICE: 'AGENT_DISK_UNFIT',
  DISK_TOO_SMALL: 'AGENT_DISK_UNFIT',
  DISK_NOT_SUPPORTED: 'AGENT_DISK_UNFIT',
}

/** An error of the rooms below as a coded one; anything else comes back as it is. */
export function asAgentError(thrown: unknown): unknown {
  if (SitelinkError.is(thrown)) return thrown
  if (thrown instanceof DiskError) {
    return create(DISK_ERRORS[thrown.code] ?? 'AGENT_DISK_FAILED', { what: thrown.message, path: thrown.path }, thrown)
  }
  if (thrown instanceof ListenError) return create('AGENT_NETWORK', { what: thrown.message }, thrown)
  if (thrown instanceof LogError) return create('AGENT_LOG', { what: thrown.message }, thrown)
  if (thrown instanceof ProtocolError) {
    if (thrown.code === 'HTTP3_UNAVAILABLE') return create('AGENT_LINK_HTTP3', { what: thrown.message }, thrown)
    if (thrown.code === 'QUIC_UNAVAILABLE') return create('AGENT_LINK_LIBRARY', { what: thrown.message }, thrown)
    return create(thrown.kind === 'usage' ? 'AGENT_ADDRESS' : 'AGENT_NETWORK', { what: thrown.message }, thrown)
  }
  return thrown
}

/** What was thrown, in words. */
export function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

type Code = Parameters<typeof agentErrors.create>[0]

function create(code: Code, facts: Facts, cause: unknown): SitelinkError {
  return (agentErrors.create as (code: Code, facts: Facts, options: ErrorOptions) => SitelinkError)(code, facts, {
    cause,
  })
}
