/**
 * Canaries for the rules of `pnpm tidy`: each rule is handed a small tree that breaks it, and must say so; and the same
 * tree mended, where it must keep silent.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { importsOf } from './lib/imports.mjs'
import { rules } from './lib/tidy-rules.mjs'

const manifest = (name, dependencies = {}) => JSON.stringify({ name: `@sitelink/${name}`, dependencies })

function check(name, files, privateWords = []) {
  const rule = rules.find((each) => each.name === name)
  const all = {
    'package.json': '{"devDependencies":{"fast-check":"4.0.0"}}',
    'docs/spec-rows.json': '[{"id":"WR-01"}]',
    ...files,
  }
  return rule.check({ paths: Object.keys(all).sort(), private: privateWords, text: (path) => all[path] })
}

/** What must be caught, what must pass. */
const canaries = [
  ['file-length', { 'packages/a/src/b.ts': '\n'.repeat(401) }, { 'packages/a/src/b.ts': '\n'.repeat(400) }],
  ['file-length', { 'test/e2e/b.ts': '\n'.repeat(601) }, { 'test/e2e/b.ts': '\n'.repeat(600) }],
  [
    'opening-paragraph',
    { 'packages/a/src/b.ts': 'a\n\nb\n\nc\n' },
    { 'packages/a/src/b.ts': '/** Owns b. */\n\n\n\n' },
  ],
  [
    'opening-paragraph',
    { 'packages/a/bin/b.js': '#!/usr/bin/env node\na\nb\nc\nd\n' },
    { 'packages/a/bin/b.js': '#!/x\n/** a */\n\n\n\n' },
  ],
  ['plan-language', { 'packages/a/src/b.ts': '// TODO later' }, { 'packages/a/src/b.ts': '// later' }],
  ['plan-language', { 'docs/b.md': 'comes in phase 2' }, { 'docs/b.md': 'the handshake comes first' }],
  [
    'plan-language',
    { 'test/b.ts': "throw new Error('not implemented')" },
    { 'test/b.ts': "throw new Error('no such verb')" },
  ],
  ['skipped-tests', { 'test/b.test.ts': "test.only('a', f)" }, { 'test/b.test.ts': "test('a', f)" }],
  [
    'skipped-tests',
    { 'test/b.test.ts': "test('a', { skip: true }, f)" },
    { 'test/b.test.ts': "test('a', { timeout: 1 }, f)" },
  ],
  ['skipped-tests', { 'test/b.test.ts': 't.skip()' }, { 'test/b.test.ts': "t.skip('no fio')" }],
  ['leaks', { 'docs/b.md': 'see /secret/place/x' }, { 'docs/b.md': 'see /other/place' }],
  ['file-names', { 'packages/a/src/ringLog.ts': '' }, { 'packages/a/src/ring-log.ts': '', 'test/e2e/a.test.ts': '' }],
  [
    'exact-versions',
    { 'packages/a/package.json': '{"dependencies":{"x":"^1.2.3"}}' },
    { 'packages/a/package.json': '{"dependencies":{"x":"1.2.3"}}' },
  ],
  [
    'undeclared-dependencies',
    { 'packages/a/package.json': manifest('a'), 'packages/a/src/b.ts': "import { c } from 'commander'" },
    {
      'packages/a/package.json': manifest('a', { commander: '1.0.0' }),
      'packages/a/src/b.ts': "import { c } from 'commander'",
    },
  ],
  [
    'undeclared-dependencies',
    { 'packages/a/package.json': manifest('a'), 'packages/a/src/b.ts': "import fc from 'fast-check'" },
    { 'packages/a/package.json': manifest('a'), 'packages/a/test/b.ts': "import fc from 'fast-check'" },
  ],
  [
    'unused-dependencies',
    { 'packages/a/package.json': manifest('a', { pino: '1.0.0' }), 'packages/a/src/b.ts': '' },
    { 'packages/a/package.json': manifest('a', { pino: '1.0.0' }), 'packages/a/src/b.ts': "await import('pino')" },
  ],
  [
    'import-direction',
    { 'packages/protocol/src/b.ts': "import { x } from '@sitelink/storage'" },
    { 'packages/protocol/src/b.ts': "import { x } from './x.js'" },
  ],
  [
    'import-direction',
    { 'packages/storage/src/b.ts': "import { x } from '@sitelink/protocol'" },
    { 'packages/storage/src/b.ts': "import { x } from '@sitelink/protocol/entry'" },
  ],
  [
    'import-direction',
    { 'packages/nbd/src/b.ts': "import { x } from '@sitelink/protocol/entry'" },
    { 'packages/nbd/src/b.ts': "import { x } from 'node:net'" },
  ],
  [
    'import-direction',
    { 'packages/daemon/src/b.ts': "import { x } from '@sitelink/protocol/entry'" },
    { 'packages/daemon/src/b.ts': "import type { X } from '@sitelink/protocol/entry'" },
  ],
  [
    'import-direction',
    { 'packages/primary/src/b.ts': "import { x } from '@sitelink/agent'" },
    { 'packages/primary/src/b.ts': "import { x } from '@sitelink/storage'" },
  ],
  [
    'import-direction',
    { 'packages/storage/src/b.ts': "import { x } from '@sitelink/protocol/light'" },
    { 'packages/primary/src/b.ts': "import { x } from '@sitelink/protocol/light'" },
  ],
  [
    'import-direction',
    { 'packages/primary/src/b.ts': "import { programFile } from '@sitelink/daemon/start'" },
    { 'packages/primary/bin/b.js': "import { programFile } from '@sitelink/daemon/start'" },
  ],
  [
    'import-direction',
    { 'packages/agent/src/b.ts': "export * from '@sitelink/primary'" },
    { 'packages/agent/src/b.ts': "export * from '@sitelink/daemon'" },
  ],
  [
    'import-direction',
    { 'test/e2e/b.ts': "import { x } from '../../packages/nbd/dist/src/client.js'" },
    { 'test/e2e/b.ts': "import { x } from '@sitelink/nbd'" },
  ],
  [
    'import-direction',
    { 'packages/agent/src/b.ts': "import { x } from '../../storage/src/c.js'" },
    { 'packages/agent/src/a/b.ts': "import { x } from '../c.js'" },
  ],
  [
    'one-door',
    { 'packages/primary/src/b.ts': "import { open } from 'node:fs/promises'" },
    { 'packages/storage/src/disk/b.ts': "import { open } from 'node:fs/promises'" },
  ],
  [
    'one-door',
    { 'packages/primary/src/b.ts': "import net from 'node:net'" },
    { 'packages/protocol/src/transport/b.ts': "import net from 'node:net'" },
  ],
  [
    'one-door',
    { 'packages/agent/src/b.ts': 'setTimeout(f, 1)' },
    { 'packages/agent/src/b.ts': 'clock.after(1, f) // not setTimeout(f)' },
  ],
  [
    'one-door',
    { 'packages/storage/src/b.ts': 'const at = Date.now()' },
    { 'packages/storage/src/b.ts': '/** never Date.now() */ clock.nowMs()' },
  ],
  ['one-door', { 'packages/storage/src/b.ts': 'Math.random()' }, { 'packages/storage/src/b.ts': 'random.bytes(8)' }],
  ['spec-ids', { 'test/b.test.ts': "test('[WR-01] [WR-99] a', f)" }, { 'test/b.test.ts': "test('[WR-01] a', f)" }],
]

for (const [name, broken, mended] of canaries) {
  test(`tidy's rule ${name} catches ${JSON.stringify(Object.values(broken).at(-1)).slice(0, 60)}`, () => {
    assert.notDeepEqual(check(name, broken, ['/secret/place/']), [], 'the broken tree is caught')
    assert.deepEqual(check(name, mended, ['/secret/place/']), [], 'the mended tree passes')
  })
}

test('every rule of tidy has a canary', () => {
  const caught = new Set(canaries.map(([name]) => name))
  assert.deepEqual(
    rules.map((rule) => rule.name).filter((name) => !caught.has(name)),
    [],
  )
})

test('imports are found in every form and not in comments', () => {
  const text = [
    "import a, { b } from 'one'",
    "import type { C } from 'two'",
    "import {\n  d,\n} from 'three'",
    "export * from 'four'",
    "import 'five'",
    "const x = await import('six')",
    "require.resolve('seven')",
    "createRequire(import.meta.url)('eight')",
    "// import y from 'nine'",
    "/* import z from 'ten' */",
  ].join('\n')
  const found = importsOf(text)
  assert.deepEqual(found.map((each) => each.specifier).sort(), [
    'eight',
    'five',
    'four',
    'one',
    'seven',
    'six',
    'three',
    'two',
  ])
  assert.deepEqual(
    found.filter((each) => each.typeOnly).map((each) => each.specifier),
    ['two'],
  )
})
