/**
 * How long a primary takes from the start of its process to the first answer over NBD.
 *
 * Owns the connection that asks. It tries again every few milliseconds, as the file of a socket outlives its server; what
 * it asks for is one read, which the log cannot hold up.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { connectTo } from './load.mjs'

const TRY_MS = 3
const READ_BYTES = 4096
const ANSWER_MS_MAX = 600_000

/** `start` starts the process and answers at once. Answers milliseconds, and the connection. */
export async function firstAnswer(pair, name, start) {
  const beganMs = performance.now()
  const starting = start()
  let failure = null
  starting.catch((error) => (failure = error))
  for (;;) {
    const client = await connectTo(pair, name).catch(() => null)
    if (client !== null) {
      await client.read(0, READ_BYTES)
      const ms = performance.now() - beganMs
      await starting
      return { ms, client }
    }
    if (failure !== null) throw failure
    if (performance.now() - beganMs > ANSWER_MS_MAX)
      throw new Error(`no answer over NBD within ${ANSWER_MS_MAX / 60_000} minutes of the start`)
    await delay(TRY_MS)
  }
}
