/**
 * Held answers: which writers may be answered, given how far log and sites are.
 *
 * Owns the queues of requests that wait for an LSN. LSNs are dense and every mark is cumulative, so a request waits for
 * a threshold, not for a list of entries. Requests built under the same set of holding sites share a {@link HoldSet};
 * a change of the set starts a new one and leaves the older requests with theirs (spec 4.9: waiting writers stay).
 * Within a set, answers go out in LSN order per kind. No allocation per request beyond its queue slot.
 */
import type { Lsn } from '@sitelink/protocol'

/** A site as held requests see it. Fields are read at each release and change freely. */
export interface HoldingSite {
  readonly number: number
  /** False once nobody waits for it any more (let go by policy, removed): its marks count as infinite. */
  readonly holds: boolean
  readonly level: 'received' | 'durable'
  readonly sync: boolean
  readonly receivedLsn: Lsn
  readonly durableLsn: Lsn
}

/** What is answered. */
export interface Held {
  complete(errno: 0 | 5): void
}

/** How far the log is. */
export interface LogMarks {
  readonly writtenLsn: Lsn
  readonly durableLsn: Lsn
}

/** In the place of what was answered: the queue must not keep a request, and with it its payload, any longer. */
const ANSWERED: Held = { complete: () => {} }

/** A FIFO of requests by LSN without shifting arrays. */
class LsnQueue {
  #lsns: Lsn[] = []
  #items: Held[] = []
  #head = 0

  push(lsn: Lsn, item: Held): void {
    this.#lsns.push(lsn)
    this.#items.push(item)
  }

  get size(): number {
    return this.#lsns.length - this.#head
  }

  /** LSN of the oldest, or Infinity. */
  get firstLsn(): Lsn {
    return this.size === 0 ? Infinity : (this.#lsns[this.#head] as Lsn)
  }

  /** LSN of the newest, or 0. */
  get lastLsn(): Lsn {
    return this.size === 0 ? 0 : (this.#lsns[this.#lsns.length - 1] as Lsn)
  }

  /** Takes out and answers all at or below `threshold`. */
  release(threshold: Lsn): void {
    while (this.#head < this.#lsns.length && (this.#lsns[this.#head] as Lsn) <= threshold) {
      const item = this.#items[this.#head] as Held
      this.#items[this.#head] = ANSWERED
      this.#head += 1
      item.complete(0)
    }
    if (this.#head === this.#lsns.length) {
      this.#lsns = []
      this.#items = []
      this.#head = 0
    } else if (this.#head > 4096) {
      this.#lsns = this.#lsns.slice(this.#head)
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
  }

  /** Takes out all, to be failed. */
  drain(): Held[] {
    const rest = this.#items.slice(this.#head)
    this.#lsns = []
    this.#items = []
    this.#head = 0
    return rest
  }
}

/** Requests that wait for the same sites. */
class HoldSet {
  /** Plain writes: in the log file, and at every holding site by its level. */
  readonly plain = new LsnQueue()
  /** FUA: also log-durable, and durable at every sync site. */
  readonly fua = new LsnQueue()
  /** FLUSH: log-durable, and durable at every sync site; never for an async one. */
  readonly flush = new LsnQueue()

  constructor(readonly sites: readonly HoldingSite[]) {}

  get size(): number {
    return this.plain.size + this.fua.size + this.flush.size
  }

  release(log: LogMarks): void {
    let plain = log.writtenLsn
    let flush = log.durableLsn
    for (const site of this.sites) {
      if (!site.holds) continue
      const mark = site.level === 'durable' ? Math.min(site.durableLsn, log.durableLsn) : site.receivedLsn
      if (mark < plain) plain = mark
      if (site.sync && site.durableLsn < flush) flush = site.durableLsn
    }
    this.plain.release(plain)
    this.fua.release(Math.min(plain, flush))
    this.flush.release(flush)
  }
}

export class Holds {
  #sets: HoldSet[] = [new HoldSet([])]

  /** From now on requests wait for these sites as well as for the log. */
  setSites(sites: readonly HoldingSite[]): void {
    const current = this.#current()
    if (current.sites.length === sites.length && current.sites.every((site, at) => site === sites[at])) return
    if (current.size === 0) this.#sets.pop()
    this.#sets.push(new HoldSet(sites))
  }

  /** Plain writes wait for stable storage, here as well as there. */
  get wantDurable(): boolean {
    return this.#current().sites.some((site) => site.holds && site.level === 'durable')
  }

  write(lsn: Lsn, fua: boolean, item: Held): void {
    const set = this.#current()
    ;(fua ? set.fua : set.plain).push(lsn, item)
  }

  flush(lsn: Lsn, item: Held): void {
    this.#current().flush.push(lsn, item)
  }

  /** Answers all that may be answered. */
  release(log: LogMarks): void {
    // An answer may bring new requests, new sets and another release before it returns: what is there now counts.
    for (let at = 0; at < this.#sets.length;) {
      const set = this.#sets[at] as HoldSet
      set.release(log)
      at = this.#sets[at] === set ? at + 1 : 0
    }
    const sets = this.#sets
    if (sets.length > 1) this.#sets = sets.filter((set, at) => at === sets.length - 1 || set.size > 0)
  }

  /** Requests that wait now. */
  get size(): number {
    let size = 0
    for (const set of this.#sets) size += set.size
    return size
  }

  /** The oldest LSN that somebody waits for at `site`, or Infinity: what its hold time is about. */
  oldestHeldBy(site: HoldingSite): Lsn {
    let oldest = Infinity
    for (const set of this.#sets) {
      if (!set.sites.includes(site)) continue
      oldest = Math.min(oldest, set.plain.firstLsn, set.fua.firstLsn)
      if (site.sync) oldest = Math.min(oldest, set.flush.firstLsn)
    }
    return oldest
  }

  /** The newest LSN that somebody waits for on the site's stable storage, or 0. */
  newestDurableBy(site: HoldingSite): Lsn {
    let newest = 0
    for (const { sites, plain, fua, flush } of this.#sets) {
      if (!site.holds || !sites.includes(site)) continue
      if (site.sync) newest = Math.max(newest, fua.lastLsn, flush.lastLsn)
      if (site.level === 'durable') newest = Math.max(newest, plain.lastLsn)
    }
    return newest
  }

  /** Answers everything that waits for `site` (or, without one, everything) with EIO. */
  fail(site: HoldingSite | null): void {
    const failed: Held[] = []
    for (const set of this.#sets) {
      if (site !== null && !set.sites.includes(site)) continue
      failed.push(...set.plain.drain(), ...set.fua.drain(), ...set.flush.drain())
    }
    for (const item of failed) item.complete(5)
  }

  #current(): HoldSet {
    return this.#sets[this.#sets.length - 1] as HoldSet
  }
}
