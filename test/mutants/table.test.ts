/** The table of mutants is true of what was built: no mutant rots while the code around it changes. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { changesOf, modulePath, mutate, testPath, type Mutant } from './mutant.js'
import { MUTANTS } from './table.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))

/** Says of each text on its input whether it parses as a module. In a process of its own, because of the flag. */
const PARSER = `
  const { SourceTextModule } = require('node:vm')
  const { readFileSync } = require('node:fs')
  const said = JSON.parse(readFileSync(0, 'utf8')).map((text) => {
    try { new SourceTextModule(text); return null } catch (error) { return error.message }
  })
  console.log(JSON.stringify(said))
`

function parseProblems(texts: readonly string[]): (string | null)[] {
  const flags = ['--experimental-vm-modules', '--no-warnings']
  const input = JSON.stringify(texts)
  const { stdout } = spawnSync(process.execPath, [...flags, '--eval', PARSER], { input, maxBuffer: 1 << 28 })
  return JSON.parse(stdout.toString()) as (string | null)[]
}

function mutated(mutant: Mutant): string {
  return mutate(readFileSync(modulePath(mutant), 'utf8'), changesOf(mutant))
}

/** Whether a compiled test file could have a test whose title has `name` in it: as it stands, or filled into a template. */
function hasTitle(text: string, name: string): boolean {
  if (text.replaceAll("\\'", "'").includes(name)) return true
  const rowIds = /^(\[[A-Z]+-\d+\] )+/
  return [...text.matchAll(/`([^`\n]*\$\{[^`\n]*)`/g)].some(([, template = '']) => {
    const pieces = template.replace(rowIds, '').split(/\$\{[^}]*\}/)
    const pattern = pieces.map((piece) => piece.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')).join('.+')
    return pieces.join('').length > 20 && new RegExp(`^${pattern}`).test(name)
  })
}

function problemsOf(problemOf: (mutant: Mutant) => string | null): string[] {
  return MUTANTS.flatMap((mutant) => {
    const problem = problemOf(mutant)
    return problem === null ? [] : [`${mutant.bug} (${mutant.file}): ${problem}`]
  })
}

describe('the table of mutants', () => {
  it('names at least 30 bugs, and each durability step, once', () => {
    const bugs = MUTANTS.map(({ bug }) => bug)
    assert.equal(new Set(bugs).size, bugs.length)
    assert.ok(MUTANTS.filter(({ step }) => !step).length >= 30)
  })

  it('finds the piece that each mutant changes exactly once in what was built', () => {
    const problems = problemsOf((mutant) => {
      try {
        mutated(mutant)
        return null
      } catch (error) {
        return (error as Error).message
      }
    })
    assert.deepEqual(problems, [])
  })

  it('makes of every file a module that still parses, and another one than it was', () => {
    const texts = MUTANTS.map(mutated)
    const said = parseProblems(texts)
    const problems = problemsOf((mutant) => {
      const at = MUTANTS.indexOf(mutant)
      return texts[at] === readFileSync(modulePath(mutant), 'utf8') ? 'it changes nothing' : (said[at] ?? null)
    })
    assert.deepEqual(problems, [])
  })

  it('names killers that are there', () => {
    const problems = problemsOf(({ killers }) => {
      if (killers.length === 0) return 'nobody kills it'
      const missing = killers.find((killer) => killer.kind === 'test' && !existsSync(`${root}${testPath(killer)}`))
      return missing?.kind === 'test' ? `there is no test file ${missing.file}` : null
    })
    assert.deepEqual(problems, [])
  })

  it('names killers by titles that their files have', () => {
    const texts = new Map<string, string>()
    const problems = problemsOf(({ killers }) => {
      const missing = killers.find((killer) => {
        if (killer.kind !== 'test') return false
        const path = testPath(killer)
        const text = texts.get(path) ?? readFileSync(`${root}${path}`, 'utf8')
        texts.set(path, text)
        return !hasTitle(text, killer.name)
      })
      return missing?.kind === 'test' ? `no test of ${missing.file} is called "${missing.name}"` : null
    })
    assert.deepEqual(problems, [])
  })
})

describe('a mutant', () => {
  const text = 'a();\n    await  b( c );\na();\n'

  it('is found whatever the white space of the compiler is', () => {
    assert.equal(mutate(text, [{ find: 'await b( c );', put: 'd();' }]), 'a();\n    d();\na();\n')
  })

  it('of which the piece is there twice, or not at all, is refused', () => {
    assert.throws(() => mutate(text, [{ find: 'a();', put: '' }]), /is there 2 times, not once: a\(\);/)
    assert.throws(() => mutate(text, [{ find: 'e();', put: '' }]), /is there 0 times, not once: e\(\);/)
  })

  it('puts its text as it stands, dollar signs included', () => {
    assert.equal(mutate('a();', [{ find: 'a();', put: "b('$&');" }]), "b('$&');")
  })
})
