/** What is loaded for a command line, and that nothing else is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { action, createProgram, registerVerbs, type SitelinkCommand, type VerbSource } from '../src/index.js'

async function loadedFor(...argv: string[]): Promise<{ loaded: string[]; known: string[] }> {
  const loaded: string[] = []
  const source = (...verbs: string[]): VerbSource => ({
    verbs,
    load: async () => {
      loaded.push(verbs.join('+'))
      return (program: SitelinkCommand) => {
        for (const verb of verbs) program.command(verb).action(action(() => {}))
      }
    },
  })
  const program = createProgram({ name: 'sitelink', description: 'A test.', versions: { product: '0', formats: [] } })
  await registerVerbs(program, [source('init'), source('status', 'events'), source('log')], argv)
  return { loaded, known: program.commands.map((command) => command.name()) }
}

const ALL = ['init', 'status', 'events', 'log']

test('only what registers the verb that is asked for is loaded, wherever the options of the program stand', async () => {
  for (const words of [
    ['status'],
    ['status', 'log'],
    ['--json', 'status'],
    ['--state', 'log', '--log-level', 'debug', 'status', '--state', 'init'],
    ['--state=log', 'status'],
    ['status', '--help'],
  ]) {
    assert.deepEqual(await loadedFor(...words), { loaded: ['status+events'], known: ['status', 'events'] }, `${words}`)
  }
})

test('help and a word that is no verb load all, in their order', async () => {
  for (const words of [
    [],
    ['--help'],
    ['help'],
    ['help', 'log'],
    ['--json', '--version'],
    ['lgo'],
    ['--state', 'log'],
    ['--wat', 'wat'],
  ])
    assert.deepEqual((await loadedFor(...words)).known, ALL, `${words}`)
})

test('for the version nothing is loaded, whatever follows', async () => {
  for (const words of [['--version'], ['-V'], ['--version', 'status'], ['-V', '--help']])
    assert.deepEqual(await loadedFor(...words), { loaded: [], known: [] }, `${words}`)
})
