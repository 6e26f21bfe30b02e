/**
 * Which blocks of the product's code has this process run? Asked of V8 itself, between inputs.
 *
 * Owns one inspector session with precise block coverage. `fresh` answers how many blocks were reached that no earlier call
 * had seen. It costs some milliseconds a call, so the fuzzer asks after a batch of inputs and looks for the one that
 * counted only if there was something new.
 */
import { Session, type Profiler } from 'node:inspector'

export class Coverage {
  readonly #session = new Session()
  readonly #seen = new Set<string>()

  constructor() {
    this.#session.connect()
    this.#post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** Blocks seen so far. */
  get blocks(): number {
    return this.#seen.size
  }

  /** Blocks that ran since the last call and never before. */
  fresh(): Set<string> {
    const fresh = new Set<string>()
    for (const block of this.ran()) {
      if (this.#seen.has(block)) continue
      this.#seen.add(block)
      fresh.add(block)
    }
    return fresh
  }

  /** Blocks that ran since the last call. */
  ran(): Set<string> {
    const blocks = new Set<string>()
    for (const { url, functions } of this.#take()) {
      if (!/\/packages\/[^/]+\/dist\/src\//.test(url)) continue
      const file = url.slice(url.indexOf('/packages/'))
      for (const { ranges, functionName } of functions) {
        for (const { startOffset, endOffset, count } of ranges)
          if (count > 0) blocks.add(`${file}:${functionName}:${startOffset}-${endOffset}`)
      }
    }
    return blocks
  }

  close(): void {
    this.#session.disconnect()
  }

  #take(): readonly Profiler.ScriptCoverage[] {
    let result: readonly Profiler.ScriptCoverage[] = []
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error === null) result = answer.result
    })
    return result
  }

  #post(method: 'Profiler.enable'): void {
    this.#session.post(method)
  }
}
