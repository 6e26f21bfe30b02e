/**
 * Feeds inputs of the corpus to their target, once each: `node test/dist/fuzz/replay.js FILE ...`. The folder of a file
 * names its target. Says what came; ends with the error of the first input that still fails.
 */
import { readFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { replay } from './engine/fuzzer.js'
import { targets } from './targets.js'

for (const file of process.argv.slice(2)) {
  const name = basename(dirname(file))
  const make = targets[name]
  if (make === undefined) throw new Error(`the folder of ${file} names no target: ${name}`)
  const target = await make()
  try {
    await replay(target, [readFileSync(file)])
    console.log(`${file}: answered as it should be`)
  } finally {
    await target.close?.()
  }
}
