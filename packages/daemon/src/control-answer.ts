/**
 * Sending the events of one streaming verb to one client.
 *
 * Takes the next event only when the client has room for it, so that a slow client holds one event and no more. Lets go
 * of the generator as soon as the client is gone, even if the generator does not look at its signal.
 */
import type { ServerResponse } from 'node:http'
import { encodeMessage, NDJSON_TYPE } from './control-protocol.js'
import type { SitelinkError } from './errors.js'

type Step = { readonly kind: 'next'; readonly step: IteratorResult<unknown, unknown> } | { readonly kind: 'aborted' }

/**
 * Pumps `events` into `response` until it returns, throws, or `signal` aborts. What it throws before its first event is
 * thrown on, for an answer with a status; later it becomes the last line. An abort with a SitelinkError as its reason
 * (the server stops) sends that as the last line.
 */
export async function answerStream(
  events: AsyncGenerator<unknown, unknown, void>,
  response: ServerResponse,
  signal: AbortSignal,
  asError: (thrown: unknown) => SitelinkError,
): Promise<void> {
  let wake = (): void => {}
  const onAbort = (): void => wake()
  signal.addEventListener('abort', onAbort)
  const next = (): Promise<Step> =>
    new Promise((resolve, reject) => {
      wake = () => resolve({ kind: 'aborted' })
      if (signal.aborted) return wake()
      events.next().then((step) => resolve(signal.aborted ? { kind: 'aborted' } : { kind: 'next', step }), reject)
    })
  const drained = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve
      if (signal.aborted) return resolve()
      response.once('drain', resolve)
    })
  const send = (line: string): boolean => {
    if (!response.headersSent) response.writeHead(200, { 'Content-Type': NDJSON_TYPE })
    return response.write(`${line}\n`)
  }
  try {
    for (;;) {
      const taken = await next()
      if (taken.kind === 'aborted') throw signal.reason
      if (taken.step.done === true) {
        send(encodeMessage({ kind: 'result', result: taken.step.value }))
        break
      }
      if (!send(encodeMessage({ kind: 'event', event: taken.step.value }))) await drained()
    }
    response.end()
  } catch (thrown) {
    // The generator may be waiting for something; it is told, not waited for.
    if (signal.aborted) void events.return(undefined).catch(() => {})
    if (response.destroyed || response.writableEnded) return
    if (!response.headersSent) throw thrown
    response.end(`${encodeMessage({ kind: 'error', error: asError(thrown) })}\n`)
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
