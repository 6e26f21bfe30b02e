/**
 * `pnpm bench [VERB] [options]`: measurements of Sitelink, alone and beside others, on this machine.
 *
 * Owns the list of verbs, what happens at Ctrl-C, and the exit status: 0, or 64 for bad usage, 69 where a program is
 * missing, 130 when interrupted, 1 for any other failure. Whatever a verb started is ended by its pid and whatever it
 * made is removed, however it ends.
 */
import { ensureBuilt } from '../scripts/lib/built.mjs'
import { makeBundle } from '../scripts/lib/bundle.mjs'
import { compiled } from './lib/compiled.mjs'
import { removePlaces } from './lib/place.mjs'
import { endAll, isClosed } from './lib/processes.mjs'
import { say } from './lib/screen.mjs'
import { UsageError } from './lib/words.mjs'

/** Each verb's file exports `usage`, `parse(words)`, which throws a UsageError, and `run(options)`, which answers the exit status. */
const verbs = {
  table: () => import('./table/command.mjs'),
  micro: () => import('./verbs/micro.mjs'),
  resync: () => import('./verbs/resync.mjs'),
  recover: () => import('./verbs/recover.mjs'),
  backlog: () => import('./verbs/backlog.mjs'),
  wan: () => import('./verbs/wan.mjs'),
  links: () => import('./verbs/links.mjs'),
  compression: () => import('./verbs/compression.mjs'),
}
const DEFAULT_VERB = 'table'

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
]) {
  process.on(signal, () => {
    say('interrupted: ending every process, removing every file')
    void endAll({ forGood: true }).then(() => {
      removePlaces()
      process.exit(status)
    })
  })
}

/** The lines that tell how to use this. */
async function usageText() {
  const lines = await Promise.all(Object.values(verbs).map(async (load) => (await load()).usage))
  return lines.join('\n\n')
}

async function main(words) {
  if (words[0] === '--') words.shift()
  const named = words[0] !== undefined && !words[0].startsWith('-')
  const name = named ? words.shift() : DEFAULT_VERB
  const load = Object.hasOwn(verbs, name) ? verbs[name] : null
  if (load === null) throw new UsageError(`there is no verb ${name}: there are ${Object.keys(verbs).join(', ')}`)
  const verb = await load()
  if (words.includes('--help') || words.includes('-h')) {
    console.log(named ? verb.usage : await usageText())
    return 0
  }
  const options = verb.parse(words)
  if (!verb.needsNoBuild?.(options)) {
    await ensureBuilt()
    // What is measured starts as it does at an operator's.
    await makeBundle()
    await compiled()
  }
  return verb.run(options)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (isClosed()) say('interrupted')
  else if (error instanceof UsageError) say(`bench: ${error.message}\nnext: pnpm bench --help`)
  else say(`bench: ${error instanceof Error ? (error.exitStatus ? error.message : error.stack) : error}`)
  process.exitCode = error.exitStatus ?? 1
} finally {
  await endAll()
  removePlaces()
}
