/** Waits for work that may take too long: resolves when it has ended, however, or when the time is up. */
import type { Clock } from '@sitelink/protocol'

export async function within(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  let cancel = (): void => {}
  const late = new Promise<void>((resolve) => {
    const timer = clock.after(ms, resolve)
    cancel = () => timer.cancel()
  })
  await Promise.race([work.catch(() => {}), late])
  cancel()
}
