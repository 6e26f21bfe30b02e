/**
 * Each checker of the simulation has a bug that it must catch: a checker that never fails proves nothing.
 *
 * The bug is made in memory while the workers load the code (test/mutants). It is caught if some life fails in the words of
 * that checker; other checkers may fail as well, in other lives or before.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ORDER_VARIABLE, orderOf, rule, type Mutant } from '../mutants/mutant.js'
import { runLives } from './run.js'

const HOOK = new URL('../mutants/hook.js', import.meta.url).href
const LIVES_MAX = 400

/** `from`: number of the first life, where the lives before it are known to notice nothing; default 0. */
const CANARIES: readonly (readonly [checker: string, mutant: Mutant, from?: number])[] = [
  [
    'verify',
    rule(
      'the agent leaves out the end of a range that it is asked for',
      'agent/apply/range-answer',
      'await writeBack.read(deviceId, offset, length)',
      'await writeBack.read(deviceId, offset, length - 512)',
    ),
  ],
  [
    'order',
    rule(
      'an agent calls itself consistent while regions are dirty',
      'agent/replica/consistency',
      'if (facts.dirtyRegions > 0)',
      'if (false)',
    ),
    56,
  ],
  [
    'kept',
    rule(
      'what a site has received counts as durable there',
      'primary/slink/stream-session',
      'return this.#trusted ? this.durableLsn :',
      'return this.#trusted ? this.receivedLsn :',
    ),
  ],
  [
    'cover',
    rule(
      'what is written while a site is behind is not marked',
      'primary/group/group',
      'slink.mappings.mark(deviceId, offset, length, point);',
      ';',
    ),
  ],
  [
    'reads',
    rule(
      'a read does not see what is in the overlay',
      'storage/write-back/read',
      'const pieces = source.plan(deviceId, offset, length);',
      "const pieces = [{ from: 'device', offset, length }];",
    ),
  ],
  [
    'answers',
    rule(
      'a write that every site has is answered with an error',
      'primary/group/holds',
      'item.complete(0)',
      'item.complete(5)',
    ),
  ],
  [
    'progress',
    rule(
      'a resync that is asked for is never answered',
      'primary/group/group-admin',
      'const dirtyRegions = slink.mappings.dirtyRegions;',
      'const dirtyRegions = await new Promise(() => {});',
    ),
  ],
  [
    'convergence',
    rule(
      'a region whose copy is everywhere stays dirty',
      'primary/resync/region-tracker',
      'if (!active.again)',
      'if (active.again)',
    ),
  ],
  [
    'equal',
    rule(
      'an entry to a clean region is left out while others are copied',
      'primary/resync/region-tracker',
      'if (active !== undefined || !this.#bits.isDirty(region))',
      'if (active !== undefined)',
    ),
  ],
  [
    'counters',
    rule(
      'lag counts one write too few',
      'primary/group/status',
      'lagWrites: outstanding.ios,',
      'lagWrites: outstanding.ios - 1,',
    ),
  ],
  [
    'memory',
    rule(
      'the overlay keeps every payload in memory',
      'storage/write-back/layer-stack',
      '!this.#takes(length) ?',
      'false ?',
    ),
  ],
  [
    'causes',
    rule(
      'an agent applies what the primary may still lose',
      'agent/apply/apply-limit',
      'export function mayApply(',
      'export function mayApply() { return true; } function neverAsked(',
    ),
    232,
  ],
  [
    'verbs',
    rule(
      'a resync is refused although nothing speaks against it',
      'primary/group/group-admin',
      'if (slink.config.paused)',
      'if (!slink.config.paused)',
    ),
  ],
]

for (const [checker, mutant, from] of CANARIES) {
  test(`the checker "${checker}" notices: ${mutant.bug}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sitelink-canary-'))
    try {
      const report = join(folder, 'report')
      const seen = new Map<string, number>()
      const { lives } = await runLives({
        // Always the same lives: whether a bug can be seen is not for chance to decide.
        seed: `canary/${checker}`,
        ...(from === undefined ? {} : { from }),
        count: LIVES_MAX,
        jobs: 1,
        failuresMax: LIVES_MAX,
        env: {
          [ORDER_VARIABLE]: JSON.stringify(orderOf(mutant, report)),
          NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import=${HOOK}`.trim(),
        },
        enough: ({ failure }) => {
          if (failure !== null) seen.set(failure.checker, (seen.get(failure.checker) ?? 0) + 1)
          return failure?.checker === checker
        },
      })
      assert.match(readFileSync(report, 'utf8'), /^applied\n/)
      const said = [...seen].map(([who, times]) => `${who} ${times}`).join(', ')
      assert.ok(seen.has(checker), `not within ${lives} lives; what was noticed: ${said || 'nothing'}`)
      t.diagnostic(`life ${lives}; noticed: ${said}`)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
}
