/**
 * What the demonstration shows: headings, commands with their output, and one live line that is redrawn.
 *
 * On a terminal the live line is redrawn in place and words are coloured; elsewhere it is printed now and then, so that a
 * log stays short. Owns nothing but standard output.
 */
const terminal = process.stdout.isTTY === true
const coloured = terminal && !process.env.NO_COLOR
const paint = (code) => (text) => (coloured ? `\u001B[${code}m${text}\u001B[0m` : text)

export const bold = paint(1)
export const dim = paint(2)
export const green = paint(32)
export const red = paint(31)
export const cyan = paint(36)

/** Milliseconds between two printed live lines where nothing can be redrawn. */
const PRINT_MS = 700

let liveShown = false
let printedMs = -Infinity

/** Takes the live line away before something else is printed. */
function clearLive() {
  if (terminal && liveShown) process.stdout.write('\r\u001B[2K')
  liveShown = false
}

export function say(text = '') {
  clearLive()
  process.stdout.write(`${text}\n`)
}

/** A chapter of the story. */
export function heading(text) {
  say()
  say(bold(cyan(`== ${text}`)))
}

/** A command as a person would type it. */
export function command(text) {
  say(dim('   $ ') + text)
}

export function fact(text) {
  say(`   ${text}`)
}

/** The live line: redrawn in place, or printed at most so often. */
export function live(text) {
  if (terminal) {
    process.stdout.write(`\r\u001B[2K   ${text.slice(0, Math.max(20, (process.stdout.columns ?? 100) - 4))}`)
    liveShown = true
  } else if (performance.now() - printedMs > PRINT_MS) {
    printedMs = performance.now()
    process.stdout.write(`   ${text}\n`)
  }
}

/** Leaves the last live line standing. */
export function keepLive(text) {
  clearLive()
  printedMs = -Infinity
  say(`   ${text}`)
}

export function bar(part, width = 24) {
  const full = Math.round(Math.max(0, Math.min(1, part)) * width)
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}]`
}

export function bytesText(bytes) {
  if (bytes >= 1024 ** 3) return `${(bytes / 1024 ** 3).toFixed(1)} GiB`
  if (bytes >= 1024 ** 2) return `${(bytes / 1024 ** 2).toFixed(1)} MiB`
  return `${(bytes / 1024).toFixed(0)} KiB`
}
