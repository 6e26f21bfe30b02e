/**
 * `pnpm bundle`: builds what is stale, and makes the bundle that the two programs then start from.
 */
import { ensureBuilt } from './lib/built.mjs'
import { makeBundle } from './lib/bundle.mjs'

await ensureBuilt()
await makeBundle()
console.log(
  'sitelink and sitelink-agent start from packages/daemon/dist/bundle now, until something is compiled or installed again',
)
