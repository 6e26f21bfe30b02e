/** A control server over a real socket in a directory of its own, and a client of it. */
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  ControlClient,
  ControlServer,
  StateDirectory,
  type ControlServerOptions,
  type StateLock,
} from '../../src/index.js'
import { tempDirectory } from './temp-directory.js'

export interface ControlFixture {
  readonly state: StateDirectory
  readonly lock: StateLock
  readonly server: ControlServer
  readonly client: ControlClient
  /** What handlers threw that is no operating error. */
  readonly bugs: unknown[]
}

/** `setUp` registers verbs; the server listens when it resolves and is stopped behind the test. */
export async function startControl(
  t: TestContext,
  setUp: (server: ControlServer) => void,
  options: Partial<ControlServerOptions> & { path?: string } = {},
): Promise<ControlFixture> {
  const path = options.path ?? join(tempDirectory(t), 'state')
  await StateDirectory.initialise(path, { program: 'sitelink' }, async () => {})
  const state = await StateDirectory.open(path, { program: 'sitelink' })
  const lock = await state.lock('daemon')
  const bugs: unknown[] = []
  const server = new ControlServer({ program: 'sitelink', lock, onBug: (error) => bugs.push(error), ...options })
  setUp(server)
  await server.start()
  t.after(async () => {
    await server.stop(AbortSignal.abort())
    await lock.release()
  })
  return { state, lock, server, client: new ControlClient(path), bugs }
}

/** A promise with its resolver. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((given) => (resolve = given))
  return { promise, resolve }
}
