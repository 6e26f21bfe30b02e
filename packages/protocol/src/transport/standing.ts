/**
 * The connections that stand over encrypted links, and behind whose keys: a revoked peer loses its own at once.
 *
 * Owns the list. A connection is in it from the moment in which it is judged good, so that a peer that is revoked in the
 * next one is ended as well, until it is over. It judges nobody.
 */
import { ProtocolError } from '../errors.js'
import type { Connection } from './transport.js'

/** What of a connection is needed to end it. */
type Endable = Pick<Connection, 'description' | 'destroy'>

interface Standing {
  readonly connection: Endable
  readonly key: string
}

/** See the file's head. */
export class StandingConnections {
  readonly #standing = new Set<Standing>()

  /** It stands; what is answered is to be called when it is over. */
  add(connection: Endable, keys: readonly string[]): () => void {
    const standing: Standing = { connection, key: keys[0] ?? '' }
    this.#standing.add(standing)
    return () => void this.#standing.delete(standing)
  }

  /** Ends every connection with the key, at once; answers how many there were. */
  endPeer(key: string, why: string): number {
    return this.#end((standing) => standing.key === key, why)
  }

  /** Ends every connection. */
  endAll(why: string): number {
    return this.#end(() => true, why)
  }

  #end(whose: (standing: Standing) => boolean, why: string): number {
    const ended = [...this.#standing].filter(whose)
    for (const { connection } of ended) {
      connection.destroy(new ProtocolError('CONNECTION_ENDED', { connection: connection.description, why }))
    }
    return ended.length
  }
}
