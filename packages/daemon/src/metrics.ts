/**
 * Counters, gauges and histograms of a daemon, as JSON and in the text format that Prometheus reads.
 *
 * Every instrument has its labels fixed when it is made, and its numbers in one preallocated array: counting allocates
 * nothing and looks nothing up. Names and labels are checked once, at making. Not thread-safe; needs not be.
 */
import assert from 'node:assert/strict'

export type Labels = Readonly<Record<string, string>>

/** Name, help and labels of an instrument. Counters end in `_total`; a unit is the last word before that. */
export interface MetricSpec {
  readonly name: string
  readonly help: string
  readonly labels?: Labels
}

/** Only rises. */
export interface Counter {
  add(amount?: number): void
  readonly value: number
}

/** Goes up and down. */
export interface Gauge {
  set(value: number): void
  add(amount: number): void
  readonly value: number
}

/** Distribution over fixed upper bounds. */
export interface Histogram {
  observe(value: number): void
  readonly count: number
  readonly sum: number
}

/** One instrument in a snapshot. */
export interface MetricSnapshot {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: Labels
  readonly value?: number
  readonly count?: number
  readonly sum?: number
  /** Cumulative counts by upper bound; what lies above the last is in `count` alone. */
  readonly buckets?: readonly { readonly le: number; readonly count: number }[]
}

/** Upper bounds in seconds for what takes from 0.1 ms to 10 s. */
export const LATENCY_SECONDS_BOUNDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

const NAME = /^[a-z][a-z0-9_]*$/

interface Instrument {
  readonly type: MetricSnapshot['type']
  readonly labels: Labels
  snapshot(): Omit<MetricSnapshot, 'name' | 'type' | 'labels'>
}

interface Family {
  readonly type: MetricSnapshot['type']
  readonly help: string
  readonly instruments: Map<string, Instrument>
}

/** All instruments of a process, or of one part of it. */
export class Metrics {
  readonly #families = new Map<string, Family>()

  counter(spec: MetricSpec): Counter {
    assert(spec.name.endsWith('_total'), `counter ${spec.name} ends in _total`)
    return this.#add(spec, new Cell('counter', spec.labels ?? {}))
  }

  gauge(spec: MetricSpec): Gauge {
    return this.#add(spec, new Cell('gauge', spec.labels ?? {}))
  }

  /** A gauge whose value is asked for when somebody looks. */
  gaugeOf(spec: MetricSpec, read: () => number): void {
    this.#add(spec, { type: 'gauge', labels: spec.labels ?? {}, snapshot: () => ({ value: read() }) })
  }

  /** `bounds` are upper bounds, inclusive and rising. */
  histogram(spec: MetricSpec, bounds: readonly number[] = LATENCY_SECONDS_BOUNDS): Histogram {
    assert(
      bounds.length > 0 && bounds.every((bound, index) => index === 0 || bound > (bounds[index - 1] ?? bound)),
      `bounds of ${spec.name} rise`,
    )
    return this.#add(spec, new Buckets(bounds, spec.labels ?? {}))
  }

  /** Forgets every instrument that has all of `labels`, as those of a slink that was removed. */
  remove(labels: Labels): void {
    for (const [name, { instruments }] of this.#families) {
      for (const [key, instrument] of instruments) {
        if (Object.entries(labels).every(([label, value]) => instrument.labels[label] === value))
          instruments.delete(key)
      }
      if (instruments.size === 0) this.#families.delete(name)
    }
  }

  /** The present values, families by name. */
  snapshot(): readonly MetricSnapshot[] {
    return this.#sorted().flatMap(([name, { instruments }]) =>
      [...instruments.values()].map((instrument) => ({
        name,
        type: instrument.type,
        labels: instrument.labels,
        ...instrument.snapshot(),
      })),
    )
  }

  /** Prometheus text exposition, version 0.0.4. */
  exposition(): string {
    return this.#sorted()
      .map(([name, { type, help, instruments }]) => {
        const lines = [...instruments.values()].flatMap((instrument) => sampleLines(name, instrument))
        return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`
      })
      .join('')
  }

  #add<I extends Instrument>({ name, help, labels = {} }: MetricSpec, instrument: I): I {
    assert(NAME.test(name), `${name} is a name for a metric`)
    assert(
      Object.keys(labels).every((label) => NAME.test(label) && label !== 'le'),
      `labels of ${name} are names`,
    )
    const family = this.#families.get(name) ?? {
      type: instrument.type,
      help,
      instruments: new Map<string, Instrument>(),
    }
    const key = labelText(labels)
    assert(family.type === instrument.type && family.help === help, `metric ${name} has one type and one help`)
    assert(!family.instruments.has(key), `metric ${name}${key} is made once`)
    family.instruments.set(key, instrument)
    this.#families.set(name, family)
    return instrument
  }

  #sorted(): (readonly [string, Family])[] {
    return [...this.#families].sort(([a], [b]) => (a < b ? -1 : 1))
  }
}

class Cell implements Counter, Gauge, Instrument {
  readonly type: 'counter' | 'gauge'
  readonly labels: Labels
  readonly #cell = new Float64Array(1)

  constructor(type: 'counter' | 'gauge', labels: Labels) {
    this.type = type
    this.labels = labels
  }

  get value(): number {
    return this.#cell[0] ?? 0
  }

  add(amount = 1): void {
    assert(amount >= 0 || this.type === 'gauge', 'a counter only rises')
    this.#cell[0] = this.value + amount
  }

  set(value: number): void {
    this.#cell[0] = value
  }

  snapshot(): { value: number } {
    return { value: this.value }
  }
}

class Buckets implements Histogram, Instrument {
  readonly type = 'histogram'
  readonly labels: Labels
  readonly #bounds: Float64Array
  /** One count for each bound, one for what lies above all, and the sum. */
  readonly #cells: Float64Array
  #count = 0

  constructor(bounds: readonly number[], labels: Labels) {
    this.labels = labels
    this.#bounds = Float64Array.from(bounds)
    this.#cells = new Float64Array(bounds.length + 2)
  }

  get count(): number {
    return this.#count
  }

  get sum(): number {
    return this.#cells[this.#bounds.length + 1] ?? 0
  }

  observe(value: number): void {
    let index = 0
    while (index < this.#bounds.length && value > (this.#bounds[index] ?? Infinity)) index += 1
    this.#cells[index] = (this.#cells[index] ?? 0) + 1
    this.#cells[this.#bounds.length + 1] = this.sum + value
    this.#count += 1
  }

  snapshot(): Required<Pick<MetricSnapshot, 'count' | 'sum' | 'buckets'>> {
    let count = 0
    const buckets = Array.from(this.#bounds, (le, index) => ({ le, count: (count += this.#cells[index] ?? 0) }))
    return { count: this.#count, sum: this.sum, buckets }
  }
}

function sampleLines(name: string, instrument: Instrument): string[] {
  const { labels } = instrument
  const { value, count, sum, buckets } = instrument.snapshot() as MetricSnapshot
  if (buckets === undefined) return [`${name}${labelText(labels)} ${numberText(value ?? 0)}`]
  const lines = buckets.map(
    ({ le, count: below }) => `${name}_bucket${labelText({ ...labels, le: numberText(le) })} ${below}`,
  )
  const last = `${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${count}`
  return [
    ...lines,
    last,
    `${name}_sum${labelText(labels)} ${numberText(sum ?? 0)}`,
    `${name}_count${labelText(labels)} ${count}`,
  ]
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  )
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  return String(value)
}
