/**
 * What the demonstration writes: a real filesystem with this repository's own files where mkfs.ext4 is there, else a
 * corpus that is the same every time.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { environment, repositoryFiles, root } from './workspace.mjs'

/** Deterministic bytes: a xorshift generator, so that nothing has to be downloaded or remembered. */
export function noise(bytes, seed) {
  const words = new Uint32Array(bytes / 4)
  let state = seed * 2654435761 + 1
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state
  }
  return Buffer.from(words.buffer)
}

function tool(name) {
  const found = spawnSync('sh', ['-c', `command -v ${name}`], { env: environment, encoding: 'utf8' })
  return found.status === 0 ? found.stdout.trim() : null
}

/** An image of `bytes` with the files of this repository and one more, which says `note`; and what it is. */
export function makeImage(folder, name, bytes, note) {
  const path = join(folder, `${name}.img`)
  const mkfs = tool('mkfs.ext4')
  const files = sources()
  if (mkfs !== null && files.length > 0) {
    const tree = join(folder, `${name}-tree`)
    for (const file of files) {
      mkdirSync(join(tree, dirname(file)), { recursive: true })
      cpSync(join(root, file), join(tree, file))
    }
    writeFileSync(join(tree, 'NOTE'), `${note}\n`)
    writeFileSync(path, '')
    truncateSync(path, bytes)
    const made = spawnSync(mkfs, ['-q', '-F', '-d', tree, path], { env: environment, encoding: 'utf8' })
    if (made.status === 0)
      return {
        content: readFileSync(path),
        what: `an ext4 filesystem with the ${files.length + 1} files of this repository`,
      }
  }
  return { content: noise(bytes, note.length + 1), what: 'a deterministic corpus (mkfs.ext4 is not here)' }
}

function sources() {
  try {
    return repositoryFiles()
  } catch {
    return []
  }
}

/** What e2fsck thinks of a copy: a sentence, or null if it is not here or the copy is no filesystem. */
export function checkFilesystem(path, what) {
  const fsck = tool('e2fsck')
  if (fsck === null || !what.includes('ext4') || !existsSync(path)) return null
  const checked = spawnSync(fsck, ['-fn', path], { env: environment, encoding: 'utf8' })
  return { clean: checked.status === 0, says: checked.stdout.trim().split('\n').at(-1) ?? '' }
}
