/**
 * What the harness uses of the compiled packages: the clients of a daemon's control socket and of an NBD export.
 *
 * They are loaded once, together, when everything is built and before anything is started.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from '../../scripts/lib/workspace.mjs'

let loaded = null

/** Answers `{ ControlClient, NbdClient }`. */
export function compiled() {
  return (loaded ??= load())
}

async function load() {
  const [{ ControlClient }, { NbdClient }] = [await packageOf('daemon'), await packageOf('nbd')]
  return { ControlClient, NbdClient }
}

/** What a package of ours exports, as it is compiled. */
export function packageOf(room) {
  return import(pathToFileURL(join(root, 'packages', room, 'dist', 'src', 'index.js')).href)
}
