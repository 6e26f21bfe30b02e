/**
 * The enrolment over a connection: the primary proves that it holds the invitation, the agent that it made it.
 *
 * Owns the one request and the one answer, and their end: nothing else is ever read from such a connection. The keys of
 * both sides come from TLS and are what is proven to belong together. Whether the request is good, and that it is durable
 * before the answer, is the owner's (`decide`).
 */
import type { Clock } from '../entry/clock.js'
import { ProtocolError } from '../errors.js'
import type { Connection } from '../transport/transport.js'
import {
  ANSWER_BYTES,
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  ENROL_WHY,
  proofMatches,
  proofOf,
  REQUEST_BYTES,
  type EnrolCode,
  type EnrolPair,
  type EnrolRequest,
} from './enrol-words.js'
import type { Invitation } from './token.js'

/** Whoever enrols has so long for its request and to take the answer, in milliseconds. */
export const ENROL_MS = 10_000

/** The primary's half. Resolves once the agent has enrolled it, durably; rejects with `ENROL_REFUSED` or a lost connection. */
export async function askToEnrol(
  connection: Connection,
  invitation: Invitation,
  pair: EnrolPair,
  address: string,
  limits: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<void> {
  const { id, secret } = invitation
  const refused = (why: string): ProtocolError => new ProtocolError('ENROL_REFUSED', { address, why })
  const answered = takeExactly(connection, ANSWER_BYTES)
  const timer = limits.clock.after(limits.timeoutMs, () =>
    connection.destroy(new ProtocolError('DIAL_TIMEOUT', { address, timeoutMs: limits.timeoutMs })),
  )
  connection.write([encodeRequest({ id, proof: proofOf(secret, 'primary', id, pair) })])
  const bytes = await answered
  timer.cancel()
  connection.destroy()
  if (bytes instanceof Error) throw bytes
  const answer = bytes === null ? null : decodeAnswer(bytes)
  if (answer === null) throw refused('it ended the exchange without an answer')
  if (answer.code !== 'enrolled') throw refused(ENROL_WHY[answer.code])
  if (!proofMatches(answer.proof, proofOf(secret, 'agent', id, pair)))
    throw refused('its answer is not that of the side that made the invitation')
}

/** The agent's half. `decide` answers what to say, once it is durable. All of it has {@link ENROL_MS}. */
export async function answerEnrolment(
  connection: Connection,
  clock: Clock,
  decide: (request: EnrolRequest) => Promise<{ readonly code: EnrolCode; readonly proof: Buffer | null }>,
): Promise<void> {
  const timer = clock.after(ENROL_MS, () => connection.destroy())
  const bytes = await takeExactly(connection, REQUEST_BYTES, () => timer.cancel())
  const request = bytes instanceof Buffer ? decodeRequest(bytes) : null
  if (request === null) return connection.destroy()
  const { code, proof } = await decide(request)
  connection.write([encodeAnswer(code, proof)])
  connection.close()
}

/**
 * The first bytes of a connection, exactly so many; null or the reason where it ends before. More than that ends it.
 * `over` is called when the connection is.
 */
function takeExactly(
  connection: Connection,
  count: number,
  over: () => void = () => {},
): Promise<Buffer | Error | null> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    connection.attach({
      data: (chunk) => {
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes > count) connection.destroy()
        else if (bytes === count) resolve(Buffer.concat(chunks))
      },
      drained: () => {},
      closed: (reason) => {
        over()
        resolve(reason)
      },
    })
  })
}
