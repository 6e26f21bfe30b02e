/** A daemon with a control socket: makes the state directory if need be, says `ready`, serves until it is ended. */
import { ControlServer, StateDirectory } from '../../src/index.js'

const [path] = process.argv.slice(2)
if (path !== undefined) {
  const options = { program: 'sitelink' }
  await StateDirectory.initialise(path, options, async () => {}).catch(() => {})
  const state = await StateDirectory.open(path, options)
  const lock = await state.lock('daemon')
  if (process.argv[3] === 'mute') {
    console.log('ready')
    process.stdin.resume()
    process.stdin.once('data', () => void serve())
  } else await serve()

  async function serve(): Promise<void> {
    const server = new ControlServer({ program: 'sitelink', lock, onBug: (error) => console.error(error) })
    server.verb('echo', (body) => ({ body, pid: process.pid }))
    server.verb('stop', () => {
      setImmediate(() => void server.stop().then(() => lock.release().then(() => process.exit(0))))
      return null
    })
    server.stream('ticks', async function* () {
      for (let n = 0; ; n += 1) {
        yield n
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    })
    await server.start()
    console.log('ready')
  }
}
