import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Metrics } from '../src/index.js'

describe('metrics', () => {
  it('count, and are given out as JSON', () => {
    const metrics = new Metrics()
    const entries = metrics.counter({ name: 'sitelink_entries_total', help: 'Entries taken.' })
    const lag = metrics.gauge({ name: 'sitelink_lag_bytes', help: 'Bytes behind.', labels: { slink: '1' } })
    metrics.gaugeOf({ name: 'sitelink_events', help: 'Events kept.' }, () => 7)
    entries.add()
    entries.add(41)
    lag.set(10)
    lag.add(-3)
    assert.deepEqual(metrics.snapshot(), [
      { name: 'sitelink_entries_total', type: 'counter', labels: {}, value: 42 },
      { name: 'sitelink_events', type: 'gauge', labels: {}, value: 7 },
      { name: 'sitelink_lag_bytes', type: 'gauge', labels: { slink: '1' }, value: 7 },
    ])
  })

  it('sort what they observe into bounds that include their upper end', () => {
    const metrics = new Metrics()
    const wait = metrics.histogram({ name: 'wait_seconds', help: 'Wait.' }, [0.1, 1])
    for (const value of [0, 0.1, 0.11, 1, 5]) wait.observe(value)
    assert.deepEqual(metrics.snapshot()[0]?.buckets, [
      { le: 0.1, count: 2 },
      { le: 1, count: 4 },
    ])
    assert.equal(wait.count, 5)
    assert.equal(wait.sum, 6.21)
  })

  it('are given out in the words of Prometheus', () => {
    const metrics = new Metrics()
    metrics.histogram({ name: 'wait_seconds', help: 'Wait\nlong.', labels: { device: 'a"b\\c' } }, [0.1]).observe(0.05)
    metrics.counter({ name: 'b_total', help: 'B.' }).add(3)
    assert.equal(
      metrics.exposition(),
      [
        '# HELP b_total B.',
        '# TYPE b_total counter',
        'b_total 3',
        '# HELP wait_seconds Wait\\nlong.',
        '# TYPE wait_seconds histogram',
        'wait_seconds_bucket{device="a\\"b\\\\c",le="0.1"} 1',
        'wait_seconds_bucket{device="a\\"b\\\\c",le="+Inf"} 1',
        'wait_seconds_sum{device="a\\"b\\\\c"} 0.05',
        'wait_seconds_count{device="a\\"b\\\\c"} 1',
        '',
      ].join('\n'),
    )
  })

  it('are made once, with one type and one help, under good names; counters only rise', () => {
    const metrics = new Metrics()
    const counter = metrics.counter({ name: 'a_total', help: 'A.' })
    assert.throws(() => metrics.counter({ name: 'a_total', help: 'A.' }), /made once/)
    assert.throws(() => metrics.gauge({ name: 'a_total', help: 'A.', labels: { x: '1' } }), /one type/)
    assert.throws(() => metrics.counter({ name: 'a', help: 'A.' }), /ends in _total/)
    assert.throws(() => metrics.gauge({ name: 'A-b', help: 'A.' }), /is a name/)
    assert.throws(() => metrics.histogram({ name: 'h', help: 'H.' }, [1, 1]), /rise/)
    assert.throws(() => counter.add(-1), /only rises/)
  })

  it('of a slink are forgotten with it, and can be made again', () => {
    const metrics = new Metrics()
    const spec = { name: 'lag_bytes', help: 'Lag.', labels: { slink: '1' } }
    metrics.gauge(spec)
    metrics.gauge({ ...spec, labels: { slink: '2' } })
    metrics.remove({ slink: '1' })
    assert.equal(metrics.snapshot().length, 1)
    metrics.gauge(spec)
    metrics.remove({})
    assert.equal(metrics.exposition(), '')
  })
})
