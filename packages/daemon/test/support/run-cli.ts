/** A program as a process, with commands that print much, for ever, or fail. */
import { action, createProgram, daemonErrors, runMain } from '../../src/index.js'

if (process.argv[2] !== undefined) {
  const program = createProgram({
    name: 'sitelink',
    description: 'A test.',
    versions: { product: '0.0.0', formats: [] },
  })
  program.command('large').action(action(async ({ output }) => output.result('x'.repeat(1_000_000), String)))
  program.command('endless').action(
    action(async ({ output }) => {
      for (;;) {
        output.event('x'.repeat(1000), String)
        await new Promise((resolve) => setImmediate(resolve))
      }
    }),
  )
  program.command('fail').action(
    action(async () => {
      throw daemonErrors.create('CONFIG_MISSING', { path: '/x' })
    }),
  )
  await runMain(program, process.argv.slice(2))
}
