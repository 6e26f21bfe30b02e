/**
 * The error codes of this package: state directory, configuration file, control socket, command line, system calls.
 *
 * Only rows. A text says what and why on one line; a hint is the next command. The operator's page
 * `docs/operating/errors.md` is generated from the rows, and a test compares the two.
 */
import { defineErrors, EXIT, type SitelinkError } from './errors.js'

export const daemonErrors = defineErrors('daemon', {
  // Command line.
  USAGE: { kind: 'usage', retry: false, exit: EXIT.usage, text: '{why}', hint: '{help} --help' },
  UNIT_INVALID: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: '"{word}" is not a {what}: {why}',
    hint: 'write it as {example}',
    about:
      'Sizes are whole numbers of bytes with an optional k, m, g, t or p (powers of 1024); durations are whole numbers with ms, s, m, h or d.',
  },
  STATE_UNNAMED: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: 'no state directory: neither --state nor SITELINK_STATE is given',
    hint: 'repeat the command with --state DIR',
  },

  // State directory.
  STATE_MISSING: {
    kind: 'operating',
    retry: false,
    exit: EXIT.noInput,
    text: 'no state directory at {path}: it does not exist or was never initialised',
    hint: '<prog> init --state {path}',
  },
  STATE_FOREIGN: {
    kind: 'operating',
    retry: false,
    exit: EXIT.cantCreate,
    text: 'cannot use {path} as a state directory: it holds files of somebody else ({found})',
    hint: '<prog> init --state {path}/{program}',
    about:
      'A state directory is created in an empty or absent directory only, so that no file of yours is ever touched.',
  },
  STATE_EXISTS: {
    kind: 'operating',
    retry: false,
    exit: EXIT.cantCreate,
    text: 'cannot initialise {path}: it already is a state directory of {program}',
    hint: '<prog> status --state {path}',
  },
  STATE_OTHER_PROGRAM: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: '{path} is a state directory of {owner}, not of {program}',
    hint: '{owner} status --state {path}',
  },
  STATE_UNFINISHED: {
    kind: 'operating',
    retry: false,
    exit: EXIT.config,
    text: 'the state directory {path} is not complete: its initialisation was interrupted',
    hint: '<prog> init --state {path}',
    about: 'init can be repeated on such a directory: it finishes what was begun.',
  },
  STATE_EXPOSED: {
    kind: 'operating',
    retry: false,
    exit: EXIT.noPermission,
    text: 'the state directory {path} can be written by others (mode {mode})',
    hint: 'chmod 700 {path}',
    about: 'Whoever can write there can redirect your devices. The directory must be writable by its owner alone.',
  },
  IDENTITY_EXPOSED: {
    kind: 'operating',
    retry: false,
    exit: EXIT.noPermission,
    text: 'the private key in {path} can be read by others (mode {mode})',
    hint: 'chmod 600 {path}; if somebody may have read it: <prog> identity rotate, and revoke the old one where it is known',
    about:
      'Whoever has the key can pass for this side. The file must be readable by its owner alone. A rotation does not help against somebody who has the key already: have the peers revoke it, and enrol anew.',
  },
  STATE_CORRUPT: {
    kind: 'corruption',
    retry: false,
    exit: EXIT.data,
    text: 'cannot read {path}: {why}',
    hint: 'restore the file from a backup of the state directory',
  },
  STATE_TOO_NEW: {
    kind: 'operating',
    retry: false,
    exit: EXIT.unavailable,
    text: 'the state directory {path} has format {version}, this {program} knows up to {versionMax}',
    hint: 'run the newer release',
  },
  STATE_LOCKED: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'another {program} (pid {pid}) holds this state directory: {path}',
    hint: '<prog> status --state {path}',
    about:
      'One process at a time works on a state directory. The kernel releases the lock when that process ends, however it ends; there is no lock file to delete.',
  },
  STATE_LOCK_FAILED: {
    kind: 'operating',
    retry: false,
    exit: EXIT.osError,
    text: 'cannot lock the state directory {path}: {why}',
    hint: 'move the state directory to a local file system',
  },
  STATE_WRITE_FAILED: {
    kind: 'operating',
    retry: true,
    exit: EXIT.ioError,
    text: 'cannot write {path}: {why}',
    hint: 'make room or repair the file system, then repeat the command; the old content is untouched',
  },
  STATE_WRITE_UNCERTAIN: {
    kind: 'operating',
    retry: false,
    exit: EXIT.ioError,
    text: 'cannot make {path} durable: {why}',
    hint: 'restart the daemon after the file system is repaired',
    about:
      'The new file has replaced the old one, but the directory could not be synced: after a power cut either may be found.',
  },

  // Configuration file.
  CONFIG_MISSING: {
    kind: 'operating',
    retry: false,
    exit: EXIT.config,
    text: 'no configuration: {path} does not exist',
    hint: 'restore the file from a backup of the state directory',
  },
  CONFIG_EXISTS: {
    kind: 'operating',
    retry: false,
    exit: EXIT.cantCreate,
    text: 'cannot create the configuration: {path} exists',
    hint: null,
  },
  CONFIG_SYNTAX: {
    kind: 'config',
    retry: false,
    exit: EXIT.config,
    text: '{path} is not valid JSON: {why} at line {line}, column {column}',
    hint: 'correct the file by hand; it is never overwritten while it cannot be read',
  },
  CONFIG_INVALID: {
    kind: 'config',
    retry: false,
    exit: EXIT.config,
    text: '{path} is refused: {key}: {why}',
    hint: 'correct the key {key}',
  },
  CONFIG_KEY_INVALID: {
    kind: 'config',
    retry: false,
    exit: EXIT.config,
    text: '{key}: {why}',
    hint: 'correct the key {key}',
  },
  CONFIG_TOO_NEW: {
    kind: 'config',
    retry: false,
    exit: EXIT.config,
    text: '{path} has version {version}, this release knows {versionMin} to {versionMax}',
    hint: 'run the newer release',
  },
  CONFIG_TOO_OLD: {
    kind: 'config',
    retry: false,
    exit: EXIT.config,
    text: '{path} has version {version}, this release knows {versionMin} to {versionMax}',
    hint: 'upgrade in steps: first run a release that knows version {version}',
  },

  // Control socket.
  CONTROL_UNREACHABLE: {
    kind: 'operating',
    retry: true,
    exit: EXIT.unavailable,
    text: 'no daemon answers on {path}: {why}',
    hint: '<prog> run --state {state}',
  },
  CONTROL_CUT: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'the daemon went away before it answered {verb}: {why}',
    hint: '<prog> status --state DIR',
    about: 'The request may have taken effect or not. Look at the status before it is repeated.',
  },
  CONTROL_TIMEOUT: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'the daemon did not answer {verb} within {timeoutMs} ms',
    hint: '<prog> status --state DIR',
  },
  CONTROL_REPLY_INVALID: {
    kind: 'operating',
    retry: false,
    exit: EXIT.unavailable,
    text: 'the answer to {verb} makes no sense: {why}',
    hint: 'see that client and daemon are of the same release: <prog> --version',
  },
  CONTROL_UNKNOWN_VERB: {
    kind: 'usage',
    retry: false,
    exit: EXIT.unavailable,
    text: 'this daemon knows no verb {verb}',
    hint: 'see that client and daemon are of the same release: <prog> --version',
  },
  CONTROL_REQUEST_INVALID: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: 'bad control request: {why}',
    hint: null,
  },
  CONTROL_BODY_TOO_LARGE: {
    kind: 'usage',
    retry: false,
    exit: EXIT.data,
    text: 'the body of {verb} is larger than {bytesMax} bytes',
    hint: null,
  },
  CONTROL_BUSY: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'the daemon already serves {requestsMax} control requests',
    hint: 'end a watch or a progress display, then repeat the command',
  },
  CONTROL_STOPPING: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'the daemon is stopping',
    hint: 'repeat the command when it has stopped',
  },
  CONTROL_SOCKET_TAKEN: {
    kind: 'operating',
    retry: false,
    exit: EXIT.cantCreate,
    text: 'cannot listen on {path}: {why}',
    hint: 'move the file away',
  },
  SOCKET_PATH_TOO_LONG: {
    kind: 'operating',
    retry: false,
    exit: EXIT.osError,
    text: 'the socket path {path} has {bytes} bytes, the system takes {bytesMax}',
    hint: 'use a shorter path',
  },
  DAEMON_NOT_ANSWERING: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'another {program} (pid {pid}) holds the state directory {path} but does not answer on its control socket',
    hint: 'wait until it has started or ended, or look at its log',
    about: 'It may still be recovering its log, or be an offline command that runs for long, or hang.',
  },

  // Running.
  SERVICE_TIMEOUT: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'service {service} did not {verb} within {timeoutMs} ms',
    hint: null,
  },
  LIFECYCLE_STOPPED: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'the start was given up: {reason}',
    hint: null,
  },

  // System calls and bugs.
  SYSTEM_REFUSED: {
    kind: 'operating',
    retry: false,
    exit: EXIT.noPermission,
    text: '{what}: {why}',
    hint: 'see that the user who runs <prog> may do this',
  },
  SYSTEM_MISSING: { kind: 'operating', retry: false, exit: EXIT.noInput, text: '{what}: {why}', hint: null },
  SYSTEM_IO: { kind: 'operating', retry: false, exit: EXIT.ioError, text: '{what}: {why}', hint: null },
  SYSTEM_FAILED: { kind: 'operating', retry: false, exit: EXIT.osError, text: '{what}: {why}', hint: null },
  INTERNAL: {
    kind: 'internal',
    retry: false,
    exit: EXIT.software,
    text: 'internal error: {why}',
    hint: 'report this with the text below; a restart recovers from the logs',
  },
})

/** The error of a validator: `key` is the path of the offending key, as `slinks[2].to`; `why` says what it should be. */
export function keyInvalid(key: string, why: string): SitelinkError {
  return daemonErrors.create('CONFIG_KEY_INVALID', { key, why })
}
