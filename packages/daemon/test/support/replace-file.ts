/** A process that replaces a file by so many bytes, and says with which code it failed. Arguments: path, bytes. */
import { SitelinkError, writeFileAtomic } from '../../src/index.js'

const [path, bytes] = process.argv.slice(2)
if (path !== undefined) {
  try {
    await writeFileAtomic(path, 'x'.repeat(Number(bytes)))
    console.log('done')
  } catch (error) {
    console.log(SitelinkError.is(error) ? `${error.code} ${error.message}` : String(error))
  }
}
