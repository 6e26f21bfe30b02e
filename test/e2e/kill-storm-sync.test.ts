/** A storm of kills over a group with one synchronous slink. How it is steered: `storm/run-kill-storm.ts`. */
import { test } from 'node:test'
import { runKillStorm } from './storm/run-kill-storm.js'

test('[REC-01] [WR-03] [MGT-14] with a synchronous site nothing acknowledged is missing after any kill', (t) =>
  runKillStorm(t, 'sync'))
