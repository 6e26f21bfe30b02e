/** Random lives of a pair whose slink is synchronous. */
import { test } from 'node:test'
import { runStorms } from './storm-run.js'

test('a protected sync site has everything that was acknowledged, through every fault', (t) =>
  runStorms(t, 'pair/storm-sync', { mode: 'sync' }))
