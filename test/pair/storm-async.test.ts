/** Random lives of a pair whose slink is asynchronous. */
import { test } from 'node:test'
import { runStorms } from './storm-run.js'

test('an async site is a prefix of the history at every death, and equal after every healing', (t) =>
  runStorms(t, 'pair/storm-async', { mode: 'async' }))
