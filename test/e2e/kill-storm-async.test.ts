/** A storm of kills over a group with one asynchronous slink. How it is steered: `storm/run-kill-storm.ts`. */
import { test } from 'node:test'
import { runKillStorm } from './storm/run-kill-storm.js'

test('[REC-01] [WR-07] [SM-11] an asynchronous site is a prefix after every kill, and equal once all is quiet', (t) =>
  runKillStorm(t, 'async'))
