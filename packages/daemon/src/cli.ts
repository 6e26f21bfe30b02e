/**
 * The command line that both programs share: options known everywhere, help, errors and exit statuses.
 *
 * Knows no verb. Every way out ends with a status of sysexits and, where it is an error, with one form on stderr: a
 * usage error is 64, `--help` and `--version` are 0, the rest is what the error's code says.
 */
import { Command, CommanderError, Help, Option } from 'commander'
import { daemonErrors } from './daemon-errors.js'
import { asSitelinkError, formatError, formatErrorJson } from './error-format.js'
import { EXIT } from './errors.js'
import { LOG_LEVELS } from './log-level.js'
import { Output, type CliIo } from './output.js'
import { StateDirectory } from './state-directory.js'
import { versionText, type VersionInfo } from './version.js'

export interface ProgramOptions {
  /** `sitelink` or `sitelink-agent`. */
  readonly name: string
  readonly description: string
  readonly versions: VersionInfo
  readonly io?: CliIo
}

/** What an action gets beside its arguments. */
export interface CliContext<O = Record<string, unknown>> {
  readonly program: string
  /** Options of the command and of the program, as commander names them. */
  readonly options: O
  readonly output: Output
  readonly io: CliIo
  /** Value of `--state` or SITELINK_STATE. Throws `STATE_UNNAMED`. */
  statePath(): string
  /** The opened state directory. Throws as `StateDirectory.open`. */
  state(): Promise<StateDirectory>
}

/** A command whose errors are coded, and which hands its surroundings to its subcommands. */
export class SitelinkCommand extends Command {
  override createCommand(name?: string): SitelinkCommand {
    return new SitelinkCommand(name)
  }

  override createHelp(): Help {
    return Object.assign(new Help(), { showGlobalOptions: true })
  }

  /** What commander has to complain of, as a `USAGE` error that knows the help of this very command. */
  override error(message: string): never {
    const why = message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ')
    throw daemonErrors.create('USAGE', { why, help: pathOf(this).join(' ') })
  }
}

const realIo: CliIo = { stdout: process.stdout, stderr: process.stderr, env: process.env }
const surroundings = new WeakMap<Command, CliIo>()

/**
 * The root command with `--state`, `--json`, `--log-level`, `--version` and help; the caller adds its commands. The
 * shared options are accepted before and behind the command's own.
 */
export function createProgram({ name, description, versions, io = realIo }: ProgramOptions): SitelinkCommand {
  const program = new SitelinkCommand(name)
  surroundings.set(program, io)
  program
    .description(description)
    .addOption(new Option('--state <dir>', 'state directory (default: $SITELINK_STATE)'))
    .option('--json', 'print results and errors as JSON')
    .addOption(
      new Option('--log-level <level>', 'least level of log lines on stderr (default: $SITELINK_LOG or info)').choices([
        ...LOG_LEVELS,
      ]),
    )
    .version(
      versionText(name, versions),
      '-V, --version',
      'print the versions of the program, its protocol and its formats',
    )
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 80,
      getErrHelpWidth: () => io.stderr.columns ?? 80,
    })
  return program
}

/** The examples section of a command's help: `command.addHelpText('after', examples([...]))`. One command line each. */
export function examples(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`
}

/**
 * Wraps a command's action: `command.action(action(async (context, ...args) => ...))`. `args` are the command's
 * arguments as commander gives them.
 */
export function action<O = Record<string, unknown>, A extends unknown[] = string[]>(
  run: (context: CliContext<O>, ...args: A) => void | Promise<void>,
): (...given: unknown[]) => Promise<void> {
  return async (...given) => {
    const command = given.pop() as Command
    given.pop() // the command's own options, which optsWithGlobals has too
    await run(contextOf<O>(command), ...(given as A))
  }
}

/**
 * Parses `argv` (without node and script) and runs the command. Returns the exit status; errors are on stderr by then.
 */
export async function runProgram(program: SitelinkCommand, argv: readonly string[]): Promise<number> {
  const io = surroundings.get(program) ?? realIo
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return EXIT.ok
  } catch (error) {
    // Commander throws after it has printed what was asked for; without a subcommand it has printed the help as a hint.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    const json = program.opts()['json'] === true || beforeDashes(argv).includes('--json')
    io.stderr.write((json ? formatErrorJson : formatError)(error, program.name()))
    return asSitelinkError(error).exit
  }
}

/**
 * Runs the program for `argv`, without node and script, as a process: ends it with the exit status once what was printed has left. A reader of stdout that
 * goes away early (`| head`) ends it quietly with 141, as SIGPIPE would.
 */
export async function runMain(program: SitelinkCommand, argv: readonly string[]): Promise<never> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? 128 + 13 : EXIT.ioError),
  )
  process.stderr.on('error', () => {})
  const status = await runProgram(program, argv)
  await Promise.all(
    [process.stdout, process.stderr].map((stream) => new Promise((resolve) => stream.write('', resolve))),
  )
  process.exit(process.exitCode === undefined || status !== EXIT.ok ? status : process.exitCode)
}

function contextOf<O>(command: Command): CliContext<O> {
  const root = rootOf(command)
  const io = surroundings.get(root) ?? realIo
  const options = command.optsWithGlobals<Record<string, unknown>>()
  const statePath = (): string => {
    const path = options['state'] ?? io.env['SITELINK_STATE']
    if (typeof path !== 'string' || path === '') throw daemonErrors.create('STATE_UNNAMED')
    return path
  }
  return {
    program: root.name(),
    options: options as O,
    output: new Output(options['json'] === true, io),
    io,
    statePath,
    state: async () => StateDirectory.open(statePath(), { program: root.name() }),
  }
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent)
}

function pathOf(command: Command): string[] {
  return command.parent === null ? [command.name()] : [...pathOf(command.parent), command.name()]
}

function beforeDashes(argv: readonly string[]): readonly string[] {
  const dashes = argv.indexOf('--')
  return dashes === -1 ? argv : argv.slice(0, dashes)
}
