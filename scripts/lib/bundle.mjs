/**
 * Makes the bundle of both programs out of what was compiled: the same modules, in few files.
 *
 * Owns what stays as it was: a module still has the address of its compiled file, from which it finds its package, its
 * version and what is optional; libraries are not bundled, and are loaded from where the importing package has them; what
 * is imported late is a file of its own. Names stay, so that a stack can be read. Parts are named by their contents and
 * are never removed, because a daemon that runs may still load one; the entries come last.
 */
import { mkdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { build, stop } from 'esbuild'
import { root } from './workspace.mjs'

/** Where the programs look for it; see packages/daemon/bin/start.js. */
const bundleFolder = join(root, 'packages', 'daemon', 'dist', 'bundle')

const entries = {
  sitelink: join(root, 'packages', 'primary', 'dist', 'src', 'cli', 'main.js'),
  'sitelink-agent': join(root, 'packages', 'agent', 'dist', 'src', 'cli', 'main.js'),
}

/** Writes the bundle of what is compiled; the caller has built. */
export async function makeBundle(folder = bundleFolder) {
  // As old as what it was made of: what is compiled meanwhile is newer.
  const readAt = Date.now() / 1000
  const { outputFiles } = await build({
    entryPoints: entries,
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // Libraries are found under the names that Node itself looks for.
    conditions: [],
    outdir: folder,
    chunkNames: 'part-[hash]',
    plugins: [inPlace(folder)],
    write: false,
    logLevel: 'silent',
  })
  // Its process would live as long as this one.
  await stop()
  mkdirSync(folder, { recursive: true })
  const isEntry = ({ path }) => Object.hasOwn(entries, basename(path, '.js'))
  for (const { path, contents } of outputFiles.toSorted((a, b) => isEntry(a) - isEntry(b))) {
    writeFileSync(`${path}.new`, contents)
    utimesSync(`${path}.new`, readAt, readAt)
    renameSync(`${path}.new`, path)
  }
}

/** Modules know their compiled file, and libraries are found from there. */
function inPlace(folder) {
  const asked = 'asked by us'
  const fromFolder = (path) => relative(folder, path).replace(/^(?!\.)/, './')
  const addressOf = (path) => `new URL(${JSON.stringify(fromFolder(path))}, import.meta.url).href`
  return {
    name: 'in-place',
    setup(esbuild) {
      const find = async (name, options) => {
        const { errors, path } = await esbuild.resolve(name, { ...options, pluginData: asked })
        return errors.length > 0 ? null : path
      }
      esbuild.onResolve({ filter: /^[^./]/ }, async ({ path: name, kind, importer, resolveDir, pluginData }) => {
        if (pluginData === asked || kind === 'entry-point' || /^(node:|@sitelink\/)/.test(name)) return undefined
        const path = await find(name, { kind, importer, resolveDir })
        return { path: path === null ? name : fromFolder(path), external: true }
      })
      esbuild.onLoad({ filter: /[/\\]dist[/\\]src[/\\].*\.js$/ }, async ({ path }) => {
        let contents = readFileSync(path, 'utf8').replaceAll('import.meta.url', addressOf(path))
        for (const [call, name] of contents.matchAll(/import\.meta\.resolve\('([^']+)'\)/g)) {
          const found = await find(name, { kind: 'import-statement', importer: path, resolveDir: dirname(path) })
          if (found !== null) contents = contents.replace(call, addressOf(found))
        }
        return { contents, loader: 'js' }
      })
    },
  }
}
