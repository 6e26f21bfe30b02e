/**
 * The program `sitelink` as a process: run with words, its answer kept, and a folder whose files are compared.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('../../../bin/sitelink.js', import.meta.url))
const TIMEOUT_MS = 20_000

export const MIB = 1024 * 1024

export interface Answer {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

export function sitelink(...words: readonly string[]): Promise<Answer> {
  return new Promise((resolve) => {
    const options = { timeout: TIMEOUT_MS, killSignal: 'SIGKILL' as const, env: { ...process.env, COLUMNS: '200' } }
    execFile(process.execPath, [PROGRAM, ...words], options, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ status, stdout, stderr })
    })
  })
}

export async function must(...words: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await sitelink(...words)
  assert.equal(status, 0, `${words.join(' ')}: ${stderr}`)
  return stdout
}

export function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sitelink-cli-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export function hashes(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [relative(folder, path), createHash('sha256').update(readFileSync(path)).digest('hex')]),
  )
}

/** Refused: with this status, one sentence about `about`, a `try:` line if asked for, and every file as it was. */
export async function refused(
  folder: string,
  wanted: { readonly status: number; readonly about: RegExp; readonly next?: RegExp },
  words: readonly string[],
): Promise<void> {
  const before = hashes(folder)
  const { status, stdout, stderr } = await sitelink(...words)
  const said = `sitelink ${words.join(' ')} -> ${status}\n${stdout}${stderr}`
  assert.equal(status, wanted.status, said)
  assert.match(stderr, wanted.about, said)
  assert.doesNotMatch(stderr, /\n\s+at |AssertionError|undefined|\[object|NaN/, said)
  const sentences = stderr
    .trim()
    .split('\n')
    .filter((line) => !/^\s*try:/.test(line))
  assert.equal(sentences.length, 1, `one sentence: ${said}`)
  if (wanted.next !== undefined) assert.match(stderr, new RegExp(`try: .*(${wanted.next.source})`), said)
  assert.deepEqual(hashes(folder), before, `every file is as it was: ${said}`)
}

export interface Made {
  readonly folder: string
  readonly state: string
  readonly log: string
  readonly data: string
}

/** A group with device 0 that does not run. */
export async function madeGroup(t: TestContext): Promise<Made> {
  const folder = folderOf(t)
  const made = { folder, state: join(folder, 'state'), log: join(folder, 'log'), data: join(folder, 'data.img') }
  writeFileSync(made.data, Buffer.alloc(MIB, 7))
  await must('init', '--state', made.state, '--log', made.log, '--log-size', '2m')
  await must('device', 'add', '0', made.data, '--name', 'data', '--state', made.state)
  return made
}
