/** A process that shows progress on a stderr that says it is a terminal, until it is ended. */
import { Progress, RealClock } from '../../src/index.js'

if (process.argv[2] !== undefined) {
  const stream = { write: (text: string) => process.stderr.write(text), isTTY: true, columns: 80 }
  new Progress({ label: 'resync', clock: new RealClock(), stream }).update(1, 2)
  process.stdin.resume()
  console.log('drawing')
}
