/**
 * Loads the one verb that a command line asks for.
 *
 * Owns the reading ahead of the words, which decides nothing but what is loaded: a program of a dozen verbs takes most of
 * its start for modules that the verb at hand never uses. For the version none is loaded. Where the verb cannot be told
 * (help, a word that is none) all are, so that help lists them and a slip of the pen gets its suggestion.
 */
import type { SitelinkCommand } from './cli.js'

/** Adds one verb to a program. */
export type VerbRegistration = (program: SitelinkCommand) => void

/** Where some verbs of a program are: what registers them, loaded when one of them is asked for. */
export interface VerbSource {
  readonly verbs: readonly string[]
  readonly load: () => Promise<VerbRegistration>
}

/** Registers the verb that `argv` (without node and script) asks for; where it names none, all in the order of `sources`. */
export async function registerVerbs(
  program: SitelinkCommand,
  sources: readonly VerbSource[],
  argv: readonly string[],
): Promise<void> {
  if (asksForVersion(program, argv)) return
  const asked = verbOf(program, argv)
  const only = sources.find(({ verbs }) => asked !== undefined && verbs.includes(asked))
  const loaded = await Promise.all((only === undefined ? sources : [only]).map(({ load }) => load()))
  for (const register of loaded) register(program)
}

/** Where it is the first word, the version is printed whatever follows. */
function asksForVersion(program: SitelinkCommand, argv: readonly string[]): boolean {
  const option = program.options.find((known) => known.attributeName() === 'version')
  return argv[0] !== undefined && (argv[0] === option?.short || argv[0] === option?.long)
}

/** The first word that is neither an option of the program nor the value of one. */
function verbOf(program: SitelinkCommand, argv: readonly string[]): string | undefined {
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] as string
    if (!word.startsWith('-')) return word
    const option = program.options.find((known) => known.short === word || known.long === word)
    if (option?.required === true) at++
  }
  return undefined
}
