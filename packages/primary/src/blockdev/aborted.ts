/**
 * Waiting for something that may be given up. Pure composition of promises.
 */

/** As `work`; rejects at once when the signal fires, and what comes of `work` later is nobody's. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new Error('the dial was given up'))
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    const done = (): void => signal.removeEventListener('abort', onAbort)
    work.then(
      (value) => (done(), resolve(value)),
      (error: Error) => (done(), reject(error)),
    )
  })
}
