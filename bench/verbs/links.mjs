/**
 * `pnpm bench links`: what each transport carries, what it costs, and how long a round trip takes, beside plain sockets.
 *
 * Owns the rounds: in each every link has its turn, with two processes of its own (lib/link-end.mjs) on loopback, so that
 * what disturbs the machine disturbs all. Nothing but the transport is in the way: no log, no disk, no session.
 */
import { fileURLToPath } from 'node:url'
import { packageOf } from '../lib/compiled.mjs'
import { ratiosByRound } from '../lib/figures.mjs'
import { commonUsage, figure, needsNoBuild, readOptions, tellOutcome } from '../lib/outcome.mjs'
import { Program, until } from '../lib/processes.mjs'
import { during, say } from '../lib/screen.mjs'
import { list, positive, UsageError } from '../lib/words.mjs'

export { needsNoBuild }

const GIB = 1024 ** 3
const GOAL = 0.9
const END = fileURLToPath(new URL('../lib/link-end.mjs', import.meta.url))

/** Links in the order of the table, each with the bare one that it is compared with, and the goal for its rate. */
const LINKS = [
  { kind: 'bare-tcp', name: 'plain TCP socket' },
  { kind: 'tcp', name: 'tcp', beside: 'bare-tcp', goal: { atLeast: GOAL } },
  { kind: 'bare-tls', name: 'plain TLS socket' },
  { kind: 'tls', name: 'tls', beside: 'bare-tls', goal: { atLeast: GOAL } },
  { kind: 'https', name: 'https over HTTP/2', beside: 'bare-tls' },
  { kind: 'quic', name: 'quic', beside: 'bare-tls' },
]

export const usage = [
  'pnpm bench links [--only LINK,LINK] [--seconds S] [--warm S] [--rounds N] [--json FILE] [--smoke]',
  '  MB/s, processor seconds a GiB (both ends) and round trip of 4 KiB for each transport, beside plain sockets',
  '  --only LINK   tcp, tls, https, quic, each with the plain socket that it is compared with (default: all)',
  '  --seconds S   how long each is measured (default: 3), behind --warm S (default: 1) to get under way',
  ...commonUsage.filter((line) => !line.includes('--dir')),
].join('\n')

export function parse(words) {
  const table = {
    seconds: { read: positive, or: 3 },
    warm: { read: positive, or: 1 },
    only: { read: kindsOf, or: LINKS.map(({ kind }) => kind) },
  }
  return readOptions(words, { verb: 'links', table, rounds: 5, smoke: { seconds: 0.2, warm: 0.1 }, files: false })
}

/** The kinds of the links that are named, and of those that they are compared with. */
function kindsOf(words) {
  const compared = LINKS.filter(({ beside }) => beside !== undefined)
  return list(words).flatMap((word) => {
    const link = compared.find(({ kind }) => kind === word)
    if (link === undefined)
      throw new UsageError(`there is no link ${word}: there are ${compared.map(({ kind }) => kind).join(', ')}`)
    return [link.beside, link.kind]
  })
}

export async function run(options) {
  const { makeCertificate, certificateFingerprint } = await packageOf('daemon')
  const { quicProblem } = await packageOf('protocol')
  const identity = async () => {
    const { key, certificate } = await makeCertificate()
    return { key, certificates: certificate, fingerprint: certificateFingerprint(certificate) }
  }
  const identities = [await identity(), await identity()]
  const withoutQuic = quicProblem()
  const named = LINKS.filter(({ kind }) => options.only.includes(kind))
  const links = named
    .filter(({ kind }) => kind !== 'quic' || withoutQuic === null)
    .map((link) => ({
      ...link,
      rate: figure(`${link.name}: rate`, 'MB/s'),
      cost: figure(`${link.name}: processor, both ends`, 's/GiB'),
      trip: figure(`${link.name}: round trip of 4 KiB`, 'us'),
    }))
  for (let round = 1; round <= options.rounds; round++) {
    for (const link of links) {
      const name = `round ${round} of ${options.rounds}, ${link.name}`
      const [here, there] = await during(name, () => ends(link, 'pump', identities, options))
      const [trips] = await during(name, () => ends(link, 'echo', identities, options))
      link.rate.values.push(there.bytes / 1e3 / there.ms)
      link.cost.values.push(((here.cpuUs / here.bytes + there.cpuUs / there.bytes) * GIB) / 1e6)
      link.trip.values.push(trips.tripUs)
      if (!options.smoke) say(`${name}: ${link.rate.values.at(-1).toFixed(0)} MB/s, ${trips.tripUs.toFixed(0)} us`)
    }
  }
  const ratios = links.flatMap(({ name, rate, beside, goal = null }) => {
    if (beside === undefined) return []
    const other = links.find(({ kind }) => kind === beside)
    const ratio = figure(`${name} / ${other.name}: rate`, 'ratio', goal)
    return [{ ...ratio, values: ratiosByRound(rate.values, other.rate.values) }]
  })
  const figures = [...links.flatMap(({ rate, cost, trip }) => [rate, cost, trip]), ...ratios]
  const notes = withoutQuic === null || !options.only.includes('quic') ? [] : [`quic is left out: ${withoutQuic}`]
  const about = { seconds: options.seconds, warmSeconds: options.warm, frameBytes: 4192, framesAtOnce: 64 }
  return tellOutcome({ verb: 'links', options, figures, notes, about })
}

/** Runs one link once. Answers what the sending end found, and in a pump what the receiving end did. */
async function ends({ kind, name }, mode, [here, there], { seconds, warm }) {
  const start = (which, more) =>
    new Program(`${name}, ${which}`, process.execPath, [END], {
      LINK_END: JSON.stringify({ kind, mode, warmMs: warm * 1000, ms: seconds * 1000, ...more }),
    })
  const receiver = start('receiving end', { mine: there, theirs: here })
  let sender = null
  try {
    const { address } = await said(receiver, 'address')
    sender = start('sending end', { mine: here, theirs: there, address })
    const results = [(await said(sender, 'result')).result]
    if (mode === 'pump') results.push((await said(receiver, 'result')).result)
    return results
  } finally {
    await Promise.all([sender?.kill(), receiver.kill()])
  }
}

/** The line of a program that has `key`; throws when it ends, or tells a problem, before. */
async function said(program, key) {
  let found = null
  await until(`${program.name} to tell its ${key}`, () => {
    const lines = program.output.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'))
    const all = lines.map((line) => JSON.parse(line))
    found = all.find((line) => key in line) ?? null
    const { problem } = all.find((line) => 'problem' in line) ?? {}
    if (found === null && (problem !== undefined || program.exit !== null))
      throw new Error(`${program.name} ended: ${problem ?? program.output.trim()}`)
    return found !== null
  })
  return found
}
