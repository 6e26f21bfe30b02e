/** A daemon of one service that says what is done to it. Argument: how it behaves. */
import {
  asSitelinkError,
  createLog,
  daemonErrors,
  formatError,
  Lifecycle,
  RealClock,
  runDaemon,
} from '../../src/index.js'

const how = process.argv[2]
if (how !== undefined) {
  const log = createLog({ name: 'sitelink', level: 'info', pretty: false })
  const lifecycle = new Lifecycle(new RealClock(), log)
  lifecycle.add({
    name: 'one',
    async start() {
      console.log('start')
      process.stdin.resume()
      if (how === 'throw')
        setImmediate(() => {
          throw new Error('a bug')
        })
      if (how === 'reject') setImmediate(() => void Promise.reject(new Error('a bug')))
      if (how === 'fail')
        setImmediate(() =>
          lifecycle.fail('one', daemonErrors.create('SYSTEM_IO', { what: 'the log', why: 'no space left' })),
        )
    },
    async drain(reason) {
      console.log(`drain ${reason}`)
      if (how === 'hang') await new Promise(() => {})
    },
    async stop(reason) {
      console.log(`stop ${reason}`)
      process.stdin.pause()
    },
  })
  try {
    await runDaemon(lifecycle, how === 'reload' ? { log, onReload: async () => console.log('reload') } : { log })
  } catch (error) {
    process.stderr.write(formatError(error, 'sitelink'))
    process.exitCode = asSitelinkError(error).exit
  }
}
