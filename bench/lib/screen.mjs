/**
 * What people see while a measurement runs: lines on stderr, so that stdout holds the report alone.
 *
 * Whatever takes longer than two seconds says so, and goes on saying it every ten: nobody has to guess whether it hangs.
 */

const FIRST_MS = 2000
const AGAIN_MS = 10_000

/** One line. */
export function say(line = '') {
  process.stderr.write(`${line}\n`)
}

/** Does `work`, and says what is under way, and for how long, if it takes a while. Answers what `work` answers. */
export async function during(what, work) {
  const startedMs = performance.now()
  const tell = () => say(`     ${what}, ${Math.round((performance.now() - startedMs) / 1000)} s`)
  let again
  const first = setTimeout(() => {
    tell()
    again = setInterval(tell, AGAIN_MS)
  }, FIRST_MS)
  try {
    return await work()
  } finally {
    clearTimeout(first)
    clearInterval(again)
  }
}

/** Seconds for people. */
export function secondsText(ms) {
  const seconds = ms / 1000
  if (seconds < 100) return `${seconds.toFixed(1)} s`
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}
