/**
 * The control API of a running agent: each verb checks its body and calls the agent. No logic of its own.
 */
import { daemonErrors, type ConfigFile, type ControlServer, type EventLog } from '@sitelink/daemon'
import { NbdServer } from '@sitelink/nbd'
import type { Clock } from '@sitelink/protocol'
import type { DiskProvider } from '@sitelink/storage'
import { checkDeviceName, checkDevicePath, withDevice, withoutDevice } from '../admin/devices.js'
import type { Agent } from '../agent.js'
import type { AgentConfig } from '../config.js'
import { asAgentError } from '../errors.js'
import { serveExport } from '../export/serve-export.js'

export interface ControlParts {
  readonly agent: Agent
  readonly config: ConfigFile<AgentConfig>
  readonly disks: DiskProvider
  readonly clock: Clock
  readonly events: EventLog
  /** For messages and for sockets: the state directory. */
  readonly stateDir: string
}

/** Registers every verb. */
export function registerVerbs(server: ControlServer, parts: ControlParts): void {
  const { agent, config, disks, events, stateDir, clock } = parts
  server.verb('status', () => agent.status())
  server.verb('device-ls', () => agent.status().devices)
  server.verb('device-add', (body) =>
    coded(async () => {
      const { name, path } = fieldsOf(body, { name: 'string', path: 'string' })
      checkDeviceName(config.current, name, stateDir)
      await checkDevicePath(disks, config.current, path, stateDir)
      await config.update((current) => withDevice(current, { name, path }))
      return { name, path, problem: await agent.addDevice({ name, path }) }
    }),
  )
  server.verb('device-del', (body) =>
    coded(async () => {
      const { name, force } = fieldsOf(body, { name: 'string', force: 'boolean' })
      await config.update((current) => withoutDevice(current, name, agent.mappedBy(name), force, stateDir))
      await agent.removeDevice(name)
      return { name }
    }),
  )
  server.stream('export', async function* (body, { signal }) {
    const request = fieldsOf(body, { name: 'string', socket: 'string', hold: 'boolean', force: 'boolean' })
    if (!isSocketPath(request.socket)) throw invalid('socket is not an absolute path')
    try {
      return yield* serveExport({
        agent,
        request,
        signal,
        newServer: (directory) => new NbdServer(directory, { after: (ms, run) => clock.after(ms, run) }),
      })
    } catch (error) {
      throw asAgentError(error)
    }
  })
  server.stream('events', async function* (body, { signal }) {
    const { afterSeq, follow } = fieldsOf(body, { afterSeq: 'number', follow: 'boolean' })
    if (!Number.isSafeInteger(afterSeq) || afterSeq < 0) throw invalid('afterSeq is not a number of an event')
    if (follow) yield* events.watch(afterSeq, signal)
    else yield events.read(afterSeq)
    return null
  })
}

type Shape = Readonly<Record<string, 'string' | 'number' | 'boolean'>>
type Fields<S extends Shape> = {
  [K in keyof S]: S[K] extends 'string' ? string : S[K] extends 'number' ? number : boolean
}

function invalid(why: string): Error {
  return daemonErrors.create('CONTROL_REQUEST_INVALID', { why })
}

/** A path that the operating system can mean and a URI can carry. */
function isSocketPath(path: string): boolean {
  return path.startsWith('/') && !path.includes('\0') && Buffer.from(path).toString() === path
}

/** The fields of a request's body, each of its type and no others. */
function fieldsOf<const S extends Shape>(body: unknown, shape: S): Fields<S> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('the body is not an object')
  for (const key of Object.keys(body))
    if (!Object.hasOwn(shape, key)) throw invalid(`${key} is not a key of this request`)
  for (const [key, type] of Object.entries(shape)) {
    if (typeof (body as Record<string, unknown>)[key] !== type) throw invalid(`${key} is not a ${type}`)
  }
  return body as Fields<S>
}

async function coded<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw asAgentError(error)
  }
}
