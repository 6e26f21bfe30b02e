/**
 * A process that takes the lock of a state directory, says `locked` or `held <pid>`, and keeps it until it is ended.
 * Arguments: directory, `flock` or `socket`, role.
 */
import { loadFlock, StateDirectory } from '../../src/index.js'

const [path, method, role] = process.argv.slice(2)
if (path !== undefined) {
  const state = await StateDirectory.open(path, {
    program: 'sitelink',
    flock: method === 'socket' ? null : loadFlock(),
  })
  const attempt = await state.tryLock(role === 'daemon' ? 'daemon' : 'command')
  console.log(attempt.kind === 'locked' ? 'locked' : `held ${attempt.holder?.pid ?? 'unknown'}`)
  process.stdin.resume()
  process.stdin.on('end', () => process.exit(0))
}
