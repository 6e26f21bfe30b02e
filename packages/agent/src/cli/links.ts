/**
 * What the encrypted links of a running agent are made of: its identity, whom it trusts, and the transports between both.
 *
 * Composition only. A state directory of a release without them gets both files here, under its lock.
 */
import {
  ConfigFile,
  daemonErrors,
  IdentityFile,
  makeShortCertificate,
  type StateDirectory,
  type StateLock,
} from '@sitelink/daemon'
import {
  KeyedTransports,
  TcpTransport,
  type Clock,
  type QuicMode,
  type Random,
  type Transport,
} from '@sitelink/protocol'
import type { AgentEventSink } from '../events.js'
import { Gatekeeper } from '../trust/gatekeeper.js'
import { tellListenerTroubles } from '../trust/listener-troubles.js'
import { trustFormat } from '../trust/trust-format.js'
import { NOBODY, type AgentTrust } from '../trust/trust.js'

export interface Links {
  readonly identity: IdentityFile
  readonly trust: ConfigFile<AgentTrust>
  readonly gatekeeper: Gatekeeper
  readonly keyed: KeyedTransports
  readonly transports: readonly Transport[]
}

export async function openLinks(
  state: StateDirectory,
  lock: StateLock,
  {
    clock,
    random,
    event,
    quic,
  }: { readonly clock: Clock; readonly random: Random; readonly event: AgentEventSink; readonly quic: QuicMode },
): Promise<Links> {
  const identity = await IdentityFile.open(state, lock)
  const trust = await openTrust(state, lock)
  const acceptFailed = tellListenerTroubles(clock, event)
  const gatekeeper: Gatekeeper = new Gatekeeper({
    clock,
    random,
    trust,
    own: () => identity.current.fingerprint,
    event,
    endPeer: (fingerprint, why) => keyed.endPeer(fingerprint, why),
  })
  const keyed: KeyedTransports = new KeyedTransports({
    clock,
    random,
    quic,
    makeCertificate: makeShortCertificate,
    identity: () => identity.current,
    judge: gatekeeper.judge,
    enrol: gatekeeper.enrol,
    refused: gatekeeper.refused,
    acceptFailed,
  })
  return { identity, trust, gatekeeper, keyed, transports: [new TcpTransport({ clock, acceptFailed }), ...keyed.all] }
}

/** Whom the agent of this directory trusts. */
export async function openTrust(state: StateDirectory, lock: StateLock): Promise<ConfigFile<AgentTrust>> {
  try {
    return await ConfigFile.open(state, lock, trustFormat)
  } catch (error) {
    if (!daemonErrors.is(error, 'CONFIG_MISSING')) throw error
    return ConfigFile.create(state, lock, trustFormat, NOBODY)
  }
}
