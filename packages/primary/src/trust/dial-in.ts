/**
 * Agents that dial the primary: a transport whose `dial` waits until the agent of that slink has come.
 *
 * Owns the connections that have come and that nobody has taken yet: at most one for each slink, the newest. Who comes was
 * judged before, by the key that is pinned for the slink. The roles stay: the primary says hello first, as if it had dialled.
 */
import type { Connection, DialOptions, Transport } from '@sitelink/protocol'
import { assert, ProtocolError } from '@sitelink/protocol/light'

/** What stands in the place of addresses where the agent dials. */
export const DIALS_IN = 'dials-in'

export class DialIn {
  readonly #arrived: (slink: number) => void
  readonly #pending = new Map<number, Connection>()
  readonly #waiting = new Map<number, (connection: Connection) => void>()

  /** `arrived`: an agent has come and nobody waits for it: its link is to end what it has, and to dial. */
  constructor(arrived: (slink: number) => void) {
    this.#arrived = arrived
  }

  /** The agent of a slink has come. An older connection of it that nobody took is ended. */
  offer(slink: number, connection: Connection): void {
    const take = this.#waiting.get(slink)
    if (take !== undefined) return take(connection)
    this.#pending.get(slink)?.destroy()
    this.#pending.set(slink, connection)
    this.#arrived(slink)
  }

  /** The transport of one slink. Its `dial` has no time limit: when the agent comes is for the agent to say. */
  transport(slink: number): Transport {
    return {
      scheme: DIALS_IN,
      dial: (address, options) => this.#dial(slink, address, options),
      listen: () => assert(false, 'nobody listens for a single slink') as never,
    }
  }

  /** Ends what nobody took. */
  close(): void {
    for (const connection of this.#pending.values()) connection.destroy()
    this.#pending.clear()
  }

  #dial(slink: number, address: string, { signal }: DialOptions): Promise<Connection> {
    const pending = this.#pending.get(slink)
    this.#pending.delete(slink)
    if (pending !== undefined) return Promise.resolve(pending)
    return new Promise((resolve, reject) => {
      const done = (): void => {
        if (this.#waiting.get(slink) === take) this.#waiting.delete(slink)
        signal?.removeEventListener('abort', onAbort)
      }
      const take = (connection: Connection): void => {
        done()
        resolve(connection)
      }
      const onAbort = (): void => {
        done()
        reject(new ProtocolError('DIAL_ABORTED', { address }))
      }
      this.#waiting.set(slink, take)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}
