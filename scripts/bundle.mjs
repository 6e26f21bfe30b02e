/**
 * `pnpm bundle`: builds what is stale, and makes the bundle that the two programs then start from.
 */
import { ensureBuilt } from './lib/built.mjs'
import { makeBundle } from './lib/bundle.mjs'

await ensureBuilt()
await makeBundle()
