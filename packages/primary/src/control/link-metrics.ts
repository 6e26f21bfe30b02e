/**
 * The numbers of the links as `/metrics` shows them, in the text format that Prometheus reads.
 *
 * Made anew at each look from what `status` reports, so that both say the same and a slink that is gone leaves nothing.
 * What is not known has no line.
 */
import { Metrics } from '@sitelink/daemon'
import type { GroupStatus } from '../group/status.js'

type SlinkRow = GroupStatus['slinks'][number]

const GAUGES: readonly (readonly [name: string, help: string, read: (row: SlinkRow) => number | null])[] = [
  ['connected', '1 while a session streams', ({ connected }) => Number(connected)],
  ['lag_writes', 'entries that the site has not received', ({ lagWrites }) => lagWrites],
  ['lag_bytes', 'bytes of them', ({ lagBytes }) => lagBytes],
  ['lag_seconds', 'age of the oldest of them', ({ lagSeconds }) => lagSeconds],
  ['dirty_regions', 'regions that may differ', ({ dirtyRegions }) => dirtyRegions],
  ['in_flight_bytes', 'bytes sent and not received yet', ({ inFlightBytes }) => inFlightBytes],
  ['session_sent_bytes', 'bytes sent in this session', ({ sentBytes }) => sentBytes],
  ['compression_ratio', 'stream bytes by bytes on the wire', ({ compression }) => compression.ratio],
  ['limit_bytes_per_second', 'bandwidth that holds now, 0 for no limit', ({ limit }) => limit.nowBytesPerSecond],
  ['rtt_seconds', 'shortest recent round trip', ({ rttMs }) => (rttMs === null ? null : rttMs / 1000)],
  ['clock_offset_seconds', 'clock of the site less ours', ({ clockOffsetUs }) => seconds(clockOffsetUs)],
  ['clock_error_seconds', 'the offset is off by at most this', ({ clockErrorUs }) => seconds(clockErrorUs)],
]

function seconds(us: number | null): number | null {
  return us === null ? null : us / 1e6
}

/** The page. */
export function linkMetrics({ slinks }: Pick<GroupStatus, 'slinks'>): string {
  const metrics = new Metrics()
  for (const [name, help, read] of GAUGES) {
    for (const row of slinks) {
      const value = read(row)
      if (value === null) continue
      metrics.gauge({ name: `sitelink_slink_${name}`, help, labels: { slink: String(row.number) } }).set(value)
    }
  }
  return metrics.exposition()
}
