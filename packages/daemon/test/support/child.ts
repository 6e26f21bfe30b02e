/** Real child processes that run a script of `support/`, and what they say. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

export interface Child {
  readonly process: ChildProcess
  /** Next line of its stdout; rejects when it ends without one. */
  line(): Promise<string>
  /** Exit status or signal, and all of stderr. */
  ended(): Promise<{ status: number | null; signal: NodeJS.Signals | null; stderr: string }>
}

/** Starts `script` (a name in this folder, without extension); it is killed behind the test if it still runs. */
export function startChild(
  t: TestContext,
  script: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Child {
  const path = fileURLToPath(new URL(`./${script}.js`, import.meta.url))
  const child = spawn(process.execPath, [path, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  const end = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  t.after(async () => {
    child.kill('SIGKILL')
    await end
  })
  return {
    process: child,
    async line() {
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`${script} ended without a line: ${stderr}`)
      return value
    },
    async ended() {
      const [status, signal] = await end
      return { status, signal, stderr }
    },
  }
}
