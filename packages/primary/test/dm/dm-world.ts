/**
 * A running group on simulated disks that is spoken to in dm's words, through the verbs of its control API.
 *
 * Owns nothing of the group: it collects what would be registered at a server and calls that.
 */
import { SitelinkError, type ControlHandler, type ControlServer } from '@sitelink/daemon'
import { NO_PINS } from '../../src/trust/pins.js'
import { registerDmVerbs } from '../../src/control/dm-verbs.js'
import { printTable, readTable, type Table } from '../../src/dm/table.js'
import type { GroupAdmin } from '../../src/group/group-admin.js'
import { GroupWorld, type WorldOptions } from '../group/group-world.js'

/** The local part of every control line here. */
export const LOCAL = '0 1 replicator ringbuffer 2 /log 0 blockdev 2 0 asynchronous'
/** A remote site that nobody meets. */
export const AGENT = 'tcp://nowhere:1'

/** Reads a table whose relative paths are of `/here`. */
export const read = (text: string): Table => readTable(text, (word) => (word.startsWith('/') ? word : `/here/${word}`))

export interface Refused {
  readonly code: string
  readonly errno: unknown
  readonly word: unknown
  readonly message: string
}

/** How `run` is refused; anything but an operating error is thrown on, and so is no refusal. */
export function refusedBy(run: () => unknown): Refused {
  try {
    run()
  } catch (error) {
    return asRefused(error)
  }
  throw new Error('it is not refused')
}

export function asRefused(error: unknown): Refused {
  if (!SitelinkError.is(error)) throw error
  return { code: error.code, errno: error.facts['errno'], word: error.facts['word'], message: error.message }
}

export class DmWorld {
  readonly world: GroupWorld
  admin!: GroupAdmin
  #verbs = new Map<string, ControlHandler>()

  private constructor(world: GroupWorld) {
    this.world = world
  }

  static async running(options: WorldOptions = {}): Promise<DmWorld> {
    const dm = new DmWorld(await GroupWorld.running(options))
    dm.#serve()
    return dm
  }

  #serve(): void {
    const verbs = new Map<string, ControlHandler>()
    const server = { verb: (name: string, run: ControlHandler) => void verbs.set(name, run) }
    this.admin = this.world.admin
    registerDmVerbs(server as unknown as ControlServer, this.world.group, this.admin, () => NO_PINS)
    this.#verbs = verbs
  }

  /** After a clean stop and a start; statistics are as at a start. */
  async restart(): Promise<void> {
    await this.world.restart()
    this.#serve()
  }

  begin(verb: string, body: unknown): Promise<unknown> {
    return Promise.resolve(this.#verbs.get(verb)?.(body, {} as never))
  }

  async #call<T>(verb: string, body: unknown): Promise<T> {
    return (await this.world.clock.runUntil(this.begin(verb, body))) as T
  }

  /** Sentences of what was done. */
  async load(text: string, dryRun = false): Promise<readonly string[]> {
    const { done } = await this.#call<{ done: string[] }>('table-load', {
      text,
      directory: '/here',
      dryRun,
      insecurePlain: true,
    })
    return done
  }

  async message(target: string, ...words: string[]): Promise<readonly string[]> {
    const { done } = await this.#call<{ done: string[] }>('message', {
      target,
      words,
      directory: '/here',
      insecurePlain: true,
    })
    return done
  }

  async status(): Promise<readonly string[]> {
    return (await this.#call<{ lines: string[] }>('status-dm', null)).lines
  }

  get table(): string {
    return printTable(this.world.config.current).join('\n')
  }

  /** How it is refused, the configuration held to be as it was. */
  async refused(run: () => Promise<unknown>): Promise<Refused> {
    const before = JSON.stringify(this.world.config.current)
    const refusal = await run().then(() => null, asRefused)
    if (refusal === null) throw new Error('it is not refused')
    if (JSON.stringify(this.world.config.current) !== before) throw new Error('a refusal changed the configuration')
    return refusal
  }
}
