/**
 * What a mutant is: one bug on purpose, in one compiled file, and who must notice it.
 *
 * Owns how a mutant is applied to a text, so that the run, the test of the table and a person at a prompt all see the
 * same. Pieces of code are compared without regard to white space: the compiler's indentation is nobody's business. A
 * piece that is not there exactly once is refused, so that a mutant never tests nothing.
 */
import { fileURLToPath, pathToFileURL } from 'node:url'

/** A named test: the file without `packages/`, `test/` and `.test.ts`, and its name without the rows that it claims. */
export interface TestKiller {
  readonly kind: 'test'
  readonly file: string
  readonly name: string
}

/** So many random lives of a pair. */
export interface StormKiller {
  readonly kind: 'storm'
  readonly seeds: number
}

export type Killer = TestKiller | StormKiller

/** A piece of code as the compiler emits it, there exactly once, and what stands there instead. */
export interface Change {
  readonly find: string
  readonly put: string
}

export interface Mutant extends Change {
  /** What is wrong, as a sentence. Unique. */
  readonly bug: string
  /** The source file: `storage/ring-log/create` is packages/storage/src/ring-log/create.ts. */
  readonly file: string
  /** A second place in the same file that the bug needs. */
  readonly also?: Change
  /** Each of them fails on it. The first one is asked; a second one stands in where the first says nothing. */
  readonly killers: readonly Killer[]
  /** It leaves out exactly one step that makes something durable, or moves it. */
  readonly step: boolean
  /** It stops progress instead of breaking a promise: a killer that does not end has killed it. */
  readonly hangs?: boolean
}

type Parts = readonly [bug: string, file: string, find: string, put: string, ...killers: Killer[]]

/** A bug that leaves out one durability step. */
export function step(...parts: Parts): Mutant {
  return { ...rule(...parts), step: true }
}

/** Any other bug. */
export function rule(...[bug, file, find, put, ...killers]: Parts): Mutant {
  return { bug, file, find, put, killers, step: false }
}

/** The bug needs a second change. */
export function and(mutant: Mutant, find: string, put: string): Mutant {
  return { ...mutant, also: { find, put } }
}

/** The bug stops progress: a killer that does not end has killed it as well. */
export function stops(mutant: Mutant): Mutant {
  return { ...mutant, hangs: true }
}

export function by(file: string, name: string): TestKiller {
  return { kind: 'test', file, name }
}

export function storm(seeds: number): StormKiller {
  return { kind: 'storm', seeds }
}

const root = new URL('../../../', import.meta.url)

/** Where the compiled file of a mutant is, as a URL. */
export function moduleUrl({ file }: Pick<Mutant, 'file'>): string {
  const [name, ...path] = file.split('/')
  return new URL(`packages/${name}/dist/src/${path.join('/')}.js`, root).href
}

export function modulePath(mutant: Pick<Mutant, 'file'>): string {
  return fileURLToPath(moduleUrl(mutant))
}

/** The compiled test file of a killer, relative to the root. */
export function testPath({ file }: TestKiller): string {
  const [name, ...path] = file.split('/')
  return name === 'pair' || name === 'crash-points' || name === 'sim'
    ? `test/dist/${file}.test.js`
    : `packages/${name}/dist/test/${path.join('/')}.test.js`
}

/** The text with all changes made. Throws a sentence where a piece is not there exactly once. */
export function mutate(text: string, changes: readonly Change[]): string {
  return changes.reduce(changed, text)
}

export function changesOf({ find, put, also }: Mutant): Change[] {
  return [{ find, put }, ...(also === undefined ? [] : [also])]
}

function changed(text: string, { find, put }: Change): string {
  const words = find.trim().split(/\s+/).map(escaped)
  const found = [...text.matchAll(new RegExp(words.join('\\s+'), 'g'))]
  const [only] = found
  if (only === undefined || found.length !== 1)
    throw new Error(`the piece to change is there ${found.length} times, not once: ${find}`)
  const behind = only.index + only[0].length
  return `${text.slice(0, only.index)}${put}${text.slice(behind)}`
}

function escaped(word: string): string {
  return word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/** What the process that is to be wrong is told, in its environment. */
export interface Order {
  readonly url: string
  readonly changes: readonly Change[]
  /** A file that hears what became of it: a line `applied`, or a line that says why not. */
  readonly report: string
}

/** Name of the environment variable that carries an {@link Order} as JSON. */
export const ORDER_VARIABLE = 'SITELINK_MUTANT'

export function orderOf(mutant: Mutant, report: string): Order {
  return { url: pathToFileURL(modulePath(mutant)).href, changes: changesOf(mutant), report }
}
