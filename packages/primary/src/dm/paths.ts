/**
 * A path where dm's grammar wants a device.
 *
 * Pure: nothing is looked at. A pair of device numbers is refused, since a number names nothing that outlives a boot.
 */
import { isAbsolute, resolve } from 'node:path'
import type { PathReader } from './control-line.js'
import { refuse } from './refusal.js'

const CHARACTERS_MAX = 4096

/** Reads paths; relative ones are of `directory`, which is absolute. */
export function pathReader(directory: string): PathReader {
  return (word) => {
    if (word === '') refuse('EINVAL', word, 'is no path')
    if (/^\d+:\d+$/.test(word)) refuse('EINVAL', word, 'is a pair of device numbers: give the path of the device')
    const path = isAbsolute(word) ? word : resolve(directory, word)
    if (path.length > CHARACTERS_MAX) refuse('EINVAL', word, `makes a path of more than ${CHARACTERS_MAX} characters`)
    return path
  }
}
