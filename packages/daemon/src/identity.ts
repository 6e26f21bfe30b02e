/**
 * The identity of a state directory: the private key by which this side is known on encrypted links, and its certificates.
 *
 * Owns `identity.json`, mode 0600: key and certificates stand in one file that is replaced as a whole, so that no crash
 * parts them. A rotation makes a key whose certificate the present key signs, and then gives the present key up; peers
 * that know an older key follow the signatures (protocol: shown-keys). The private key never leaves the process but into
 * that file. Whom this side trusts is not its concern.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { certificateFingerprint, makeCertificate } from './certificate.js'
import { ConfigFile, readConfig, type ConfigFormat } from './config-file.js'
import { daemonErrors, keyInvalid } from './daemon-errors.js'
import type { StateDirectory } from './state-directory.js'
import type { StateLock } from './state-lock.js'
import { isErrno, systemError } from './system-errors.js'

/** What an encrypted link shows of this side. */
export interface Identity {
  /** PEM. */
  readonly key: string
  /** PEM: the certificate of the key, then those of the keys that it succeeded, newest first. */
  readonly certificates: string
  /** SHA-256 of the public key, 64 hex digits. */
  readonly fingerprint: string
}

interface IdentityContent {
  readonly key: string
  readonly certificates: readonly string[]
}

/** Certificates that are kept: peers that missed more rotations than that have to be enrolled anew. */
const CERTIFICATES_MAX = 16
const OTHERS = 0o077

export const identityFormat: ConfigFormat<IdentityContent> = {
  name: 'identity.json',
  version: 1,
  versionMin: 1,
  validate: checkIdentity,
}

/** See the head of this file. */
export class IdentityFile {
  readonly #file: ConfigFile<IdentityContent>
  #identity: Identity
  /** Rotations run one after the other: each is signed by the key before it. */
  #rotations: Promise<unknown> = Promise.resolve()

  private constructor(file: ConfigFile<IdentityContent>) {
    this.#file = file
    this.#identity = identityOf(file.current)
  }

  /** A new identity, in place of what an interrupted initialisation left. For `StateDirectory.initialise`. */
  static async create(state: StateDirectory, lock: StateLock): Promise<IdentityFile> {
    const { key, certificate } = await makeCertificate()
    return new IdentityFile(await ConfigFile.create(state, lock, identityFormat, { key, certificates: [certificate] }))
  }

  /** The identity of the directory. One that was made by a release without identities gets its own now. */
  static async open(state: StateDirectory, lock: StateLock): Promise<IdentityFile> {
    try {
      await refuseReadable(state)
      return new IdentityFile(await ConfigFile.open(state, lock, identityFormat))
    } catch (error) {
      if (!daemonErrors.is(error, 'CONFIG_MISSING')) throw error
      return IdentityFile.create(state, lock)
    }
  }

  /** The same object until it changes. */
  get current(): Identity {
    return this.#identity
  }

  /** Another key from now on, vouched for by the present one, which is gone once this resolves. */
  rotate(): Promise<Identity> {
    const rotated = this.#rotations.then(() => this.#rotate())
    this.#rotations = rotated.catch(() => {}) // whoever asked for it gets its error
    return rotated
  }

  async #rotate(): Promise<Identity> {
    const { key, certificates } = this.#file.current
    const made = await makeCertificate({ key, certificate: certificates[0] as string })
    const kept = [made.certificate, ...certificates].slice(0, CERTIFICATES_MAX)
    this.#identity = identityOf(await this.#file.update(() => ({ key: made.key, certificates: kept })))
    return this.#identity
  }
}

/** Reads the identity for a report; null where there is none yet. */
export async function readIdentity(state: StateDirectory): Promise<Identity | null> {
  try {
    await refuseReadable(state)
    return identityOf(await readConfig(state.file(identityFormat.name), identityFormat))
  } catch (error) {
    if (daemonErrors.is(error, 'CONFIG_MISSING')) return null
    throw error
  }
}

function identityOf({ key, certificates }: IdentityContent): Identity {
  return { key, certificates: certificates.join(''), fingerprint: certificateFingerprint(certificates[0] as string) }
}

async function refuseReadable(state: StateDirectory): Promise<void> {
  const path = state.file(identityFormat.name)
  try {
    const { mode } = await stat(path)
    if ((mode & OTHERS) !== 0)
      throw daemonErrors.create('IDENTITY_EXPOSED', { path, mode: (mode & 0o777).toString(8).padStart(3, '0') })
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw systemError(error) ?? error
  }
}

/** The key must be that of the first certificate: anything else would fail at every peer, and say so only there. */
function checkIdentity(value: unknown): IdentityContent {
  const { key, certificates, ...more } = value as Partial<IdentityContent>
  for (const name of Object.keys(more)) throw keyInvalid(name, 'it is unknown')
  if (typeof key !== 'string') throw keyInvalid('key', 'it should be a private key in PEM')
  if (!Array.isArray(certificates) || certificates.length === 0 || certificates.length > CERTIFICATES_MAX)
    throw keyInvalid('certificates', `it should be a list of 1 to ${CERTIFICATES_MAX} certificates in PEM`)
  const texts = certificates as readonly unknown[]
  const read = texts.map((text, at) => {
    try {
      return new X509Certificate(text as string)
    } catch {
      throw keyInvalid(`certificates[${at}]`, 'it should be a certificate in PEM')
    }
  })
  try {
    if (read[0]?.checkPrivateKey(createPrivateKey(key)) === true) return { key, certificates: texts as string[] }
  } catch {
    // What cannot be read is not the key either.
  }
  throw keyInvalid('key', 'it is not the private key of the first certificate')
}
