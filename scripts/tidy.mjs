/**
 * `pnpm tidy`: applies the rules of scripts/lib/tidy-rules.mjs to every file that is tracked, or new and not ignored.
 *
 * Owns what counts as private to this machine: the folder that holds the repository, and the host of the package
 * registry that npm is set to. It changes nothing; it exits 1 if a rule is broken.
 */
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { rules } from './lib/tidy-rules.mjs'
import { readText, repositoryFiles, root } from './lib/workspace.mjs'

/** Folders that say nothing about one machine. */
const commonFolders = ['/', '/tmp/', '/var/', '/srv/', '/opt/', '/home/', '/root/', '/usr/', '/mnt/', '/data/']

function privateWords() {
  const registry = spawnSync('npm', ['config', 'get', 'registry'], {
    encoding: 'utf8',
    cwd: root,
    shell: process.platform === 'win32',
  })
  const host = /^\w+:\/\/(?:[^/@\s]*@)?([^/\s]+)/.exec(registry.stdout ?? '')?.[1]
  const folder = `${dirname(root)}/`.replace(/\/+$/, '/')
  return [host, commonFolders.includes(folder) ? undefined : folder].filter((word) => word !== undefined)
}

const cache = new Map()
const tree = {
  paths: repositoryFiles(),
  private: privateWords(),
  text(path) {
    if (!cache.has(path)) cache.set(path, readText(path))
    return cache.get(path)
  },
}

let problems = 0
for (const { name, sentence, check } of rules) {
  const places = check(tree)
  if (places.length === 0) continue
  problems += places.length
  console.log(`${name}: ${sentence}`)
  for (const place of places) console.log(`  ${place}`)
}
console.log(problems === 0 ? `${tree.paths.length} files are tidy` : `${problems} places to mend`)
process.exitCode = problems === 0 ? 0 : 1
