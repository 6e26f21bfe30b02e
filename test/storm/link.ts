/**
 * The way between primary and one agent, through a proxy or straight into the agent's namespace, and what ails it now.
 *
 * Several may want the same fault at once, or two faults that include each other: each holds what it wants until it lets
 * go, and the link is what all holders together make of it. So the judge of a dead agent can keep everybody away from it
 * without knowing who else is at work.
 */
import type { LinkProxy } from '../support/link-proxy.js'
import type { Fault, NameSpace } from './name-space.js'

export type Ailment =
  | { readonly kind: 'cut' | 'stall-out' | 'stall-in' | 'link-down' | 'silence-out' | 'silence-in' }
  | { readonly kind: 'delay' | 'limit'; readonly amount: number }

const spaceFaults: readonly (readonly [Ailment['kind'], Fault])[] = [
  ['link-down', 'down'],
  ['silence-out', 'silent-out'],
  ['silence-in', 'silent-in'],
]

export class Link {
  readonly #held = new Set<Ailment>()
  readonly #inForce = new Set<Fault>()
  /** Changes of the namespace, one after the other. */
  #changes: Promise<void> = Promise.resolve()

  constructor(
    readonly proxy: LinkProxy,
    readonly space: NameSpace | null,
  ) {}

  /** Makes it ail. Resolves, when it does, with what ends it. */
  async hold(ailment: Ailment): Promise<() => Promise<void>> {
    this.#held.add(ailment)
    await this.#apply()
    return async () => {
      this.#held.delete(ailment)
      await this.#apply()
    }
  }

  /** Nothing passes, and nobody who dials now gets through. */
  async isolate(): Promise<() => Promise<void>> {
    const ends = [await this.hold({ kind: 'cut' })]
    if (this.space !== null) ends.push(await this.hold({ kind: 'link-down' }))
    return async () => {
      for (const end of ends) await end()
    }
  }

  #apply(): Promise<void> {
    const { proxy } = this
    const has = (kind: Ailment['kind']): boolean => [...this.#held].some((each) => each.kind === kind)
    const most = (kind: 'delay' | 'limit', choose: (...of: number[]) => number): number | null => {
      const amounts = [...this.#held].flatMap((each) => ('amount' in each && each.kind === kind ? [each.amount] : []))
      return amounts.length === 0 ? null : choose(...amounts)
    }
    if (has('cut')) proxy.cut()
    else proxy.mend()
    for (const way of ['out', 'in'] as const) {
      if (has(`stall-${way}`)) proxy.stall(way)
      else proxy.flow(way)
      proxy.delay(way, most('delay', Math.max) ?? 0)
      proxy.limit(way, most('limit', Math.min))
    }
    const { space } = this
    if (space === null) return Promise.resolve()
    this.#changes = this.#changes.then(async () => {
      for (const [kind, fault] of spaceFaults) {
        const wanted = has(kind)
        if (wanted === this.#inForce.has(fault)) continue
        await space.set(fault, wanted)
        if (wanted) this.#inForce.add(fault)
        else this.#inForce.delete(fault)
      }
    })
    return this.#changes
  }
}
