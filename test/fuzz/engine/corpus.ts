/**
 * The corpus: small files, one input each, in a folder per target.
 *
 * Owns reading and keeping. `failed-*` is an input that once broke an oracle and is fed again for ever; `found-*` reached
 * code that nothing before had reached. A name ends with a hash of the content, so that the same input is kept once.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** From test/dist/fuzz/engine. */
const FOLDER = fileURLToPath(new URL('../../../fuzz/corpus', import.meta.url))

export interface CorpusEntry {
  readonly file: string
  readonly input: Buffer
}

export function corpusFolder(target: string): string {
  return join(FOLDER, target)
}

/** Everything that is kept for a target, by name. */
export function readCorpus(target: string): readonly CorpusEntry[] {
  const folder = corpusFolder(target)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.bin'))
    .sort()
    .map((name) => ({ file: join(folder, name), input: readFileSync(join(folder, name)) }))
}

/** Names of targets that have a folder. */
export function corpusTargets(): readonly string[] {
  return existsSync(FOLDER) ? readdirSync(FOLDER).sort() : []
}

/** Keeps an input; answers its file. */
export function keepInput(target: string, kind: 'failed' | 'found', input: Buffer): string {
  const folder = corpusFolder(target)
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${kind}-${createHash('sha256').update(input).digest('hex').slice(0, 12)}.bin`)
  writeFileSync(file, input)
  return file
}
