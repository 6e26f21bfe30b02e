/**
 * What verbs of `sitelink` that change something need of a state directory: its configuration and peers files.
 */
import {
  ConfigFile,
  keyInvalid,
  StateDirectory,
  withDaemonOrLock,
  type CliContext,
  type ConfigFormat,
  type StateLock,
} from '@sitelink/daemon/light'
import { checkConfig, migrateConfig } from '../config-check.js'
import { CONFIG_VERSION, CONFIG_VERSION_MIN, type GroupConfig } from '../config.js'
import { mapped } from '../error-map.js'
import type { PeerRecord, PeerStore } from '../slink/peers.js'

export const configFormat: ConfigFormat<GroupConfig> = {
  name: 'config.json',
  version: CONFIG_VERSION,
  versionMin: CONFIG_VERSION_MIN,
  validate: checkConfig,
  migrate: migrateConfig,
}

interface PeersFile {
  readonly peers: Readonly<Record<string, PeerRecord>>
}

export const peersFormat: ConfigFormat<PeersFile> = {
  name: 'peers.json',
  version: 1,
  versionMin: 1,
  validate: (value) => {
    const { peers } = value as Partial<PeersFile>
    if (typeof peers !== 'object' || peers === null || Array.isArray(peers))
      throw keyInvalid('peers', 'it should be an object')
    for (const [slink, record] of Object.entries(peers)) checkPeer(`peers.${slink}`, slink, record)
    return { peers }
  },
}

function checkPeer(key: string, slink: string, record: unknown): void {
  if (!/^[1-9]\d{0,3}$/.test(slink)) throw keyInvalid(key, 'it should be the number of a slink')
  if (typeof record !== 'object' || record === null) throw keyInvalid(key, 'it should be an object')
  const { agent, journal, ...more } = record as Partial<PeerRecord>
  for (const name of Object.keys(more)) throw keyInvalid(`${key}.${name}`, 'it is unknown')
  if (typeof agent !== 'string' || agent === '') throw keyInvalid(`${key}.agent`, 'it should be an identity')
  // An agent that starts over names its new journal at the next session; until then none is known.
  if (typeof journal !== 'string') throw keyInvalid(`${key}.journal`, 'it should be an identity, or empty')
}

/** The peers file as the slinks use it. */
export function peerStore(file: ConfigFile<PeersFile>): PeerStore {
  return {
    get: (slink) => file.current.peers[String(slink)] ?? null,
    set: async (slink, record) => {
      await file.update(({ peers }) => {
        const next = { ...peers }
        if (record === null) delete next[String(slink)]
        else next[String(slink)] = record
        return { peers: next }
      })
    },
  }
}

/** A verb that changes the configuration: at the daemon if there is one, else on the file, under the lock. */
export async function changeConfig(
  context: CliContext<unknown>,
  verb: string,
  body: unknown,
  offline: (config: GroupConfig, state: StateDirectory, lock: StateLock) => GroupConfig | Promise<GroupConfig>,
): Promise<void> {
  const state = await context.state()
  await withDaemonOrLock(
    state,
    {
      online: async (client) => void (await client.call(verb, body)),
      offline: async (lock) => {
        const file = await ConfigFile.open(state, lock, configFormat)
        const next = await mapped(() => offline(file.current, state, lock))
        await file.update(() => next)
      },
    },
    { onWaiting: (message) => context.output.note(message) },
  )
}

/** A verb that needs the log for itself. */
export async function alone<T>(
  context: CliContext<unknown>,
  run: (state: StateDirectory, lock: StateLock, config: GroupConfig) => Promise<T>,
): Promise<T> {
  const state = await context.state()
  const lock = await state.lock('command')
  try {
    const file = await ConfigFile.open(state, lock, configFormat)
    return await mapped(() => run(state, lock, file.current))
  } finally {
    await lock.release()
  }
}
