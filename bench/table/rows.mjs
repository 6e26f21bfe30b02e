/**
 * The rows of the table: which work each is, and which of them a run does.
 *
 * Pure. A row is the same work for every contender: same sizes, same depth, same random numbers, same bound. *Burst* rows
 * end before Sitelink's log is full; the *sustained* row writes the log three times over and counts until everything is
 * flushed and drained.
 */

const KIB = 1024
const sizes = [4, 64, 256, 1024]
const depths = [1, 16, 64]

/** Part of the log that a burst may fill: Sitelink begins to look for space at 75 %. */
export const BURST_FILL = 0.6

/** What the sustained row writes, in sizes of the log, and the longest time for it in seconds. */
export const SUSTAINED_LOGS = 3
export const SUSTAINED_SECONDS_MAX = 20

/** Depth of the writer that keeps the overlay full while the reads beside it are measured. */
export const OVERLAY_WRITER_DEPTH = 16

/** Rows that the goals are judged by: they run for the whole `--seconds`, the others for half of it. */
const judged = new Set([
  'randwrite-4k-d64',
  'randwrite-4k-d1',
  'randwrite-256k-d16',
  'fua-4k-d16',
  'randread-4k-d64',
  'sustained-4k-d64',
])

/** Writes that every run does; the rest comes with `--all`: at random every size, at 4 KiB every depth, in sequence a selection. */
const usual = new Set([
  'randwrite-4k-d1',
  'randwrite-4k-d16',
  'randwrite-4k-d64',
  'randwrite-64k-d16',
  'randwrite-256k-d16',
  'randwrite-1m-d16',
  'seqwrite-4k-d16',
  'seqwrite-256k-d16',
])

function row(id, fields) {
  const metric = fields.metric ?? (fields.blockBytes > 4 * KIB ? 'bytesPerSecond' : 'iops')
  const extra = fields.kind === 'write' && !usual.has(id)
  return { id, log: 'burst', extra, ...fields, metric, judged: judged.has(id) }
}

function sizeText(kib) {
  return kib < 1024 ? `${kib}k` : `${kib / 1024}m`
}

const writes = ['randwrite', 'seqwrite'].flatMap((pattern) =>
  sizes.flatMap((kib) =>
    depths.map((depth) =>
      row(`${pattern}-${sizeText(kib)}-d${depth}`, {
        kind: 'write',
        pattern: pattern === 'randwrite' ? 'randwrite' : 'write',
        blockBytes: kib * KIB,
        depth,
        title: `${pattern === 'randwrite' ? 'random' : 'sequential'} writes, ${kib < 1024 ? `${kib} KiB` : `${kib / 1024} MiB`}, depth ${depth}`,
      }),
    ),
  ),
)

const durable = depths.map((depth) =>
  row(`fua-4k-d${depth}`, {
    kind: 'fua',
    blockBytes: 4 * KIB,
    depth,
    title: `durable writes (FUA), sequential, 4 KiB, depth ${depth}`,
  }),
)

const reads = [
  ...depths.map((depth) =>
    row(`randread-4k-d${depth}`, {
      kind: 'read',
      pattern: 'randread',
      blockBytes: 4 * KIB,
      depth,
      extra: depth !== 64,
      title: `random reads, 4 KiB, depth ${depth}, nothing else under way`,
    }),
  ),
  row('overlay-randread-4k-d64', {
    kind: 'overlay',
    pattern: 'randread',
    blockBytes: 4 * KIB,
    depth: 64,
    title: `random reads, 4 KiB, depth 64, beside random 4 KiB writes at depth ${OVERLAY_WRITER_DEPTH} that keep the overlay full`,
  }),
]

const sustained = row('sustained-4k-d64', {
  kind: 'sustained',
  log: 'sustained',
  pattern: 'randwrite',
  blockBytes: 4 * KIB,
  depth: 64,
  metric: 'drainedBytesPerSecond',
  title: `random writes, 4 KiB, depth 64, ${SUSTAINED_LOGS} times the log, until all is flushed and drained`,
})

export const allRows = [...writes, ...durable, ...reads, sustained]

/** One row of each kind, for a run that only shows that everything works. */
const smokeRows = ['randwrite-4k-d64', 'fua-4k-d16', 'randread-4k-d64', 'overlay-randread-4k-d64']

/**
 * The rows of a run. `only`: alternatives, each a list of words that an id must all contain, where the name of a row means
 * that row alone; it chooses among all rows.
 */
export function chooseRows({ all = false, smoke = false, only = null } = {}) {
  const names = new Set(allRows.map(({ id }) => id))
  const fits = (id, word) => (names.has(word) ? id === word : id.includes(word))
  if (only !== null) return allRows.filter(({ id }) => only.some((words) => words.every((word) => fits(id, word))))
  if (smoke) return allRows.filter(({ id }) => smokeRows.includes(id) || id === sustained.id)
  return allRows.filter((each) => all || !each.extra)
}

/**
 * Work that every contender does after its start, `seconds` in all, so that no row meets code that has just begun to run: a
 * daemon is up for months, and what runs in a virtual machine gets fast in its first seconds. Nobody reports it.
 */
export function warmUp(seconds) {
  const work = [
    { share: 0.3, kind: 'write', pattern: 'randwrite', blockBytes: 4 * KIB, depth: 64 },
    { share: 0.25, kind: 'write', pattern: 'randwrite', blockBytes: 4 * KIB, depth: 1 },
    { share: 0.15, kind: 'write', pattern: 'randwrite', blockBytes: 256 * KIB, depth: 16 },
    { share: 0.2, kind: 'fua', blockBytes: 4 * KIB, depth: 16 },
    { share: 0.1, kind: 'read', pattern: 'randread', blockBytes: 4 * KIB, depth: 64 },
  ]
  return work.map(({ share, ...load }) => ({ ...load, seconds: share * seconds, bytes: null }))
}

/** How long the load of a row may run, in seconds. */
export function secondsOf(row, seconds) {
  if (row.kind === 'sustained') return Math.min(SUSTAINED_SECONDS_MAX, seconds * 8)
  return row.judged ? seconds : seconds / 2
}

/** How many bytes it may write at most; null where only the time counts. */
export function bytesOf(row, { logBytes }) {
  if (row.kind === 'sustained') return SUSTAINED_LOGS * logBytes
  return row.kind === 'write' ? roundDown(BURST_FILL * logBytes, row.blockBytes) : null
}

function roundDown(bytes, unit) {
  return Math.max(unit, Math.floor(bytes / unit) * unit)
}
