/**
 * A network namespace for one agent, with a pair of veth devices to it: a link that can really go down, or be silent in
 * one direction while both ends believe in it.
 *
 * Owns the namespace, the pair and the addresses, out of the range that is set aside for tests of networks. Every fault is
 * made inside the namespace; nothing of the machine's own network is changed. All of it goes at the end of the process too.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { findProgram } from '../support/clients.js'
import { mustRun } from '../support/program.js'

/** Pairs of addresses that 198.18.0.0/15 has room for. */
const PAIRS = 32_768

const standing = new Set<NameSpace>()
process.on('exit', () => {
  for (const space of standing) space.abandon()
})

const ip = findProgram('ip') ?? 'ip'

/** Why there can be none here, or null. Tries it. */
export function nameSpaceProblem(): string | null {
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  for (const name of ['ip', 'nsenter']) if (findProgram(name) === null) return `there is no ${name}`
  const name = `slprobe${process.pid}`
  const made = spawnSync(ip, ['netns', 'add', name], { encoding: 'utf8' })
  const veth =
    made.status === 0
      ? spawnSync(ip, ['-n', name, 'link', 'add', 'name', 'one', 'type', 'veth', 'peer', 'name', 'other'])
      : made
  spawnSync(ip, ['netns', 'del', name])
  return veth.status === 0 ? null : `ip: ${String(veth.stderr ?? veth.error).trim()}`
}

export type Fault = 'down' | 'silent-out' | 'silent-in'

export class NameSpace {
  readonly #name: string
  readonly #outer: string
  readonly #inner: string
  /** Address of the machine's end, and of the agent's. */
  readonly #here: string
  readonly host: string

  private constructor(at: number) {
    const pair = (process.pid * 4 + at) % PAIRS
    const address = (host: number): string => {
      const low = pair * 4 + host
      return `198.${18 + (low >> 16)}.${(low >> 8) & 255}.${low & 255}`
    }
    this.#name = `sitelink-${process.pid}-${at}`
    this.#outer = `sl${process.pid}h${at}`
    this.#inner = `sl${process.pid}n${at}`
    this.#here = address(1)
    this.host = address(2)
  }

  /** `at` tells the namespaces of one process apart. */
  static async make(at: number): Promise<NameSpace> {
    const space = new NameSpace(at)
    standing.add(space)
    try {
      await mustRun(ip, ['netns', 'add', space.#name])
      const pair = ['link', 'add', space.#outer, 'type', 'veth', 'peer', 'name', space.#inner, 'netns', space.#name]
      await mustRun(ip, pair)
      await mustRun(ip, ['addr', 'add', `${space.#here}/30`, 'dev', space.#outer])
      await mustRun(ip, ['link', 'set', space.#outer, 'up'])
      await space.#inside('addr', 'add', `${space.host}/30`, 'dev', space.#inner)
      await space.#inside('link', 'set', space.#inner, 'up')
      await space.#inside('link', 'set', 'lo', 'up')
      // What is for this host is looked up behind a place where a rule can throw it away.
      await space.#inside('rule', 'add', 'pref', '100', 'lookup', 'local')
      await space.#inside('rule', 'del', 'pref', '0')
      return space
    } catch (error) {
      space.abandon()
      throw error
    }
  }

  /** Words in front of a command that runs in it. */
  get launcher(): readonly string[] {
    const place = ['/run/netns', '/var/run/netns'].find((folder) => existsSync(`${folder}/${this.#name}`))
    return [findProgram('nsenter') ?? 'nsenter', `--net=${place}/${this.#name}`]
  }

  /** Begins or ends a fault: the link down, nothing from the agent, nothing to it. Nobody is told of any. */
  async set(fault: Fault, on: boolean): Promise<void> {
    if (fault === 'down') await this.#inside('link', 'set', this.#inner, on ? 'down' : 'up')
    else if (fault === 'silent-out') await this.#inside('route', on ? 'add' : 'del', 'blackhole', `${this.#here}/32`)
    else await this.#inside('rule', on ? 'add' : 'del', 'pref', '10', 'iif', this.#inner, 'blackhole')
  }

  async remove(): Promise<void> {
    await mustRun(ip, ['link', 'del', this.#outer])
    await mustRun(ip, ['netns', 'del', this.#name])
    standing.delete(this)
  }

  /** The same, however far it got. */
  abandon(): void {
    spawnSync(ip, ['link', 'del', this.#outer])
    spawnSync(ip, ['netns', 'del', this.#name])
    standing.delete(this)
  }

  async #inside(...words: string[]): Promise<void> {
    await mustRun(ip, ['-n', this.#name, ...words])
  }
}
