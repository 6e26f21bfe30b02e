/**
 * How a word of dm's grammar is refused: which word, why, and the error number that the kernel's dm-replicator gives.
 *
 * Pure. Parsers throw it; whoever called for the whole text or message makes an operating error of it.
 */
import { SitelinkError } from '@sitelink/daemon/light'

export type Errno = 'EINVAL' | 'ENOENT' | 'EPERM' | 'EEXIST' | 'EBUSY' | 'ENODEV' | 'ENXIO'

export class WordRefusal extends Error {
  override readonly name = 'WordRefusal'
  constructor(
    readonly errno: Errno,
    /** The word as it was given; null: one is missing. */
    readonly word: string | null,
    why: string,
  ) {
    super(why)
  }
}

/** A refusal that names `word`. */
export function refuse(errno: Errno, word: string, why: string): never {
  throw new WordRefusal(errno, word, `"${brief(word)}" ${why}`)
}

/** A refusal for want of a word. */
export function refuseMissing(errno: Errno, why: string): never {
  throw new WordRefusal(errno, null, why)
}

/** Runs `read`; an error of the unit parsers becomes a refusal of `word`. */
export function refusing<T>(errno: Errno, word: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (SitelinkError.is(error)) throw new WordRefusal(errno, word, error.message)
    throw error
  }
}

const CHARACTERS_MAX = 80

function brief(word: string): string {
  return word.length > CHARACTERS_MAX ? `${word.slice(0, CHARACTERS_MAX)}...` : word
}
