/**
 * `pnpm clean`: removes what `pnpm build` and `pnpm bundle` make, and nothing else.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './lib/workspace.mjs'

for (const folder of ['test', ...readdirSync(join(root, 'packages')).map((name) => join('packages', name))]) {
  const dist = join(root, folder, 'dist')
  if (existsSync(dist)) rmSync(dist, { recursive: true, force: true })
}
