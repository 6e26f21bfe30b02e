/**
 * What every verb of `sitelink-agent` needs of a state directory: its configuration, the way to a daemon, and the words
 * of its options.
 */
import {
  ConfigFile,
  withDaemon,
  withDaemonOrLock,
  type CliContext,
  type ControlClient,
  type StateDirectory,
  type StateLock,
} from '@sitelink/daemon/light'
import { parseAddress, QUIC_MODES, type QuicMode } from '@sitelink/protocol/light'
import { configFormat, type AgentConfig } from '../config.js'
import { agentErrors, asAgentError } from '../errors.js'

export const PROGRAM = 'sitelink-agent'

/** Runs `work`; errors of the rooms below become coded ones. */
export async function coded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw asAgentError(error)
  }
}

/** A verb that works through the daemon if there is one, else directly on the state directory, under its lock. */
export async function eitherWay<T>(
  context: CliContext<unknown>,
  ways: {
    readonly online: (client: ControlClient) => Promise<T>
    readonly offline: (place: {
      readonly state: StateDirectory
      readonly lock: StateLock
      readonly config: ConfigFile<AgentConfig>
    }) => Promise<T>
  },
): Promise<T> {
  const state = await context.state()
  const offline = async (lock: StateLock): Promise<T> => {
    const config = await ConfigFile.open(state, lock, configFormat)
    return coded(() => ways.offline({ state, lock, config }))
  }
  return withDaemonOrLock(
    state,
    { online: ways.online, offline },
    { onWaiting: (message) => context.output.note(message) },
  )
}

/** A verb that only a running daemon can answer. */
export async function askDaemon<T>(
  context: CliContext<unknown>,
  run: (client: ControlClient) => Promise<T>,
): Promise<T> {
  return withDaemon(await context.state(), run, { onWaiting: (message) => context.output.note(message) })
}

/** An address to listen on, as a command names it. Throws where it is none, or plain and that was not asked for. */
export function listenAddress(address: string, insecurePlain: boolean): string {
  const { scheme } = parseAddress(address)
  if (scheme === 'tcp' && !insecurePlain) throw agentErrors.create('AGENT_LISTEN_PLAIN', { address })
  return address
}

/** `--quic` as a command names it, beside the address that is listened on; undefined where it does not. */
export function quicMode(word: string | undefined, listen: string | null): QuicMode | undefined {
  if (word === undefined) return undefined
  const mode = QUIC_MODES.find((one) => one === word)
  if (mode === undefined)
    throw agentErrors.create('AGENT_QUIC_MODE', { mode: word, why: `should be one of ${QUIC_MODES.join(', ')}` })
  if (mode !== 'auto' && (listen === null || parseAddress(listen).scheme !== 'https'))
    throw agentErrors.create('AGENT_QUIC_MODE', {
      mode,
      why: 'says how an https:// address is listened on, and this is none',
    })
  return mode
}
