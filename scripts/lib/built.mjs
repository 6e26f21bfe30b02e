/** Makes the verbs that run compiled code work from a fresh clone: installs if needed, then builds what is stale. */
import { ensureInstalled } from './install.mjs'
import { environment, run } from './workspace.mjs'

/** Throws with what the compiler or the package manager said. */
export async function ensureBuilt() {
  const installed = await ensureInstalled()
  if (installed.status !== 0) throw new Error(installed.output)
  const built = await run('tsc', ['-b'], { quiet: true, env: environment })
  if (built.status !== 0) throw new Error(built.output)
}
