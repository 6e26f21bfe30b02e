/**
 * A whole test of power cuts under one filesystem: recorded, cut, judged, and told in figures.
 *
 * Owns the sizes that `POWER_CUTS` scales: how many moments each host is cut at.
 */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Prng } from '@sitelink/storage/testing'
import { seededPrng } from '../support/seed.js'
import { requireFilesystem, type FilesystemKind } from './filesystem.js'
import { Recording } from './recording.js'
import { replayAll, type Count } from './replay.js'

/** Moments at which the power of each host is cut. */
const CUTS = Number(process.env['POWER_CUTS'] ?? 48)
const STEPS = 160

const SITES = [
  { name: 'guard', mode: 'sync' },
  { name: 'follower', mode: 'async' },
] as const

/** A recording, or null where this machine cannot make one; the test is skipped then. */
export async function record(
  t: TestContext,
  kind: FilesystemKind,
  join: 'first' | 'half-way',
): Promise<{ readonly recording: Recording; readonly prng: Prng } | null> {
  if (!requireFilesystem(t, kind)) return null
  const prng = seededPrng(t, `${kind.name} ${join}`)
  const recording = await Recording.make({ kind, prng, sites: SITES, steps: STEPS, join })
  const { pair, madeLsn } = recording
  const owed = recording.owed(pair.trace.events.length, null)
  t.diagnostic(
    `${kind.name}: ${pair.trace.events.length} events, entries ${madeLsn} to ${pair.history.lastLsn}, ` +
      `${owed.ledger} records and ${owed.manifest} versions promised, ${pair.logLaps.toFixed(1)} laps of the log`,
  )
  assert(owed.ledger > 0 && owed.manifest > 0, 'something was promised')
  return { recording, prng }
}

/** Cuts and judges all hosts. */
export async function replay(
  t: TestContext,
  { recording, prng }: { readonly recording: Recording; readonly prng: Prng },
): Promise<ReadonlyMap<string, Count>> {
  const counts = await replayAll({ recording, prng, cuts: CUTS })
  for (const [host, { cuts, inconsistent, images, judged }] of counts) {
    const said = inconsistent === 0 ? '' : `, ${inconsistent} times it said that it is no prefix`
    t.diagnostic(
      `${recording.options.kind.name}, ${host}: cut ${cuts} times, ${images} images, ${judged} of them judged${said}`,
    )
    assert(judged > 0, `there was something to judge at ${host}`)
  }
  return counts
}
