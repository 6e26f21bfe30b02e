/**
 * Which file a program starts from: what was compiled, or the bundle of it that `pnpm bundle` made.
 *
 * Owns the choice. The bundle holds the same code in few files, which halves what a start costs; it must never hide code
 * that is newer. So it counts only if nothing was compiled or installed after it, and never where SITELINK_BUNDLE is 0, which tests and
 * mutants say. It loads nothing.
 */
import { statSync } from 'node:fs'

const PACKAGES = ['protocol', 'storage', 'nbd', 'daemon', 'primary', 'agent']

/** For the program `name`, whose compiled main module is `main`. `packages`: the folder of all packages. */
export function programFile(name, main, { env = process.env, packages = new URL('../../', import.meta.url) } = {}) {
  if (env.SITELINK_BUNDLE === '0') return main
  const bundle = new URL(`daemon/dist/bundle/${name}.js`, packages)
  const madeMs = changedMs(bundle)
  if (madeMs === null) return main
  // It names the libraries that were installed when it was made.
  const installedMs = changedMs(new URL('../node_modules/.modules.yaml', packages))
  if (installedMs !== null && installedMs >= madeMs) return main
  // Where that file is not there nobody knows when something was compiled.
  const isNewest = PACKAGES.every((each) => {
    const compiledMs = changedMs(new URL(`${each}/dist/.tsbuildinfo`, packages))
    return compiledMs !== null && compiledMs < madeMs
  })
  return isNewest ? bundle : main
}

/** When a file was written; null if it is not there. */
function changedMs(url) {
  return statSync(url, { throwIfNoEntry: false })?.mtimeMs ?? null
}
