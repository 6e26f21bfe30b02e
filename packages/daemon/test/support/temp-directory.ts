/** Directories for one test, removed behind it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export function tempDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sitelink-daemon-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}
