/**
 * Protection: whether writers wait for one site right now, since when in vain, and whether it has all that they were
 * told is there.
 *
 * Owns the guard's state and its timers; the rules are `guard.ts` and `fall-behind.ts`, both pure. Every change of
 * whether writers wait is told to the group in the same turn, and every change between protected and unprotected is an
 * event.
 */
import { unreachable, type Lsn } from '@sitelink/protocol'
import type { SlinkConfig } from '../config.js'
import type { EventFacts, EventLevel } from '../group/events.js'
import { CAUGHT_UP_BYTES, CAUGHT_UP_ENTRIES, FALL_BEHIND_RESUME_PERCENT_MAX } from '../limits.js'
import { forces, isLimited, resumePercentOf, type Outstanding } from './fall-behind.js'
import { guardTable, holdingOf, type GuardEvent, type GuardState, type Holding } from './guard.js'

export interface ProtectionOwner {
  readonly config: SlinkConfig
  /** It has a device at all. */
  readonly mapped: boolean
  outstanding(): Outstanding
  /** The last LSN that was given out. */
  appendedLsn(): Lsn
  /** A writer waits for this site. */
  isWaitedFor(): boolean
  /** `holding` changed. */
  holdingChanged(): void
  /** `latched` changed: a restart should know soon. */
  latchChanged(): void
  /** It made no progress for its hold time: its session is given up, and with policy `fail` its writers. */
  lost(failWriters: boolean): void
  event(kind: string, level: EventLevel, message: string, facts: EventFacts): void
}

export class Protection {
  readonly #owner: ProtectionOwner
  #guard: GuardState = 'catching-up'
  #forced: 'ios' | 'size' | 'timeout' | null = null
  #latched: boolean
  /** LSN that it must have durably to be protected; null while it does not guard. */
  #protectedFrom: Lsn | null = null
  #protected = false
  #holding: Holding = 'none'
  #overflowed = false
  /** Since when somebody waits for this site without progress, monotonic ms; null: nobody waits. */
  #waitingSinceMs: number | null = null
  forcedCount = 0

  /** `latched`: it was protected when the log was last open. */
  constructor(owner: ProtectionOwner, latched: boolean) {
    this.#owner = owner
    this.#latched = latched
  }

  get guard(): GuardState {
    return this.#guard
  }

  /** It has fall-behind limits that count. */
  get limited(): boolean {
    const { config, mapped } = this.#owner
    return config.mode === 'async' && mapped && isLimited(config.fallBehind)
  }

  get forced(): 'ios' | 'size' | 'timeout' | null {
    return this.#forced
  }

  get latched(): boolean {
    return this.#latched
  }

  get protected(): boolean {
    return this.#protected
  }

  get holding(): Holding {
    return this.#holding
  }

  /**
   * Writers that wait for it already go on waiting: also for an async one that is within its limits again (spec 4.9), but
   * not once its limits are taken away.
   */
  get keepsWriters(): boolean {
    if (this.#holding !== 'none') return true
    return this.#guard === 'live' && (this.#owner.config.mode === 'sync' ? this.#owner.mapped : this.limited)
  }

  /** Something happened to the site. */
  happened(event: GuardEvent): void {
    const before = this.#guard
    this.#guard = guardTable[before][event]
    if (this.#guard !== before || event === 'caught-up') this.recompute()
  }

  /** The operator gives its protection up: a new device or a full resync has to be copied, and nobody waits for that. */
  giveUp(): void {
    const { latched } = this
    this.#latched = false
    this.happened('dirtied')
    this.recompute()
    if (latched) this.#owner.latchChanged()
  }

  /** The configuration changed. */
  configured(before: SlinkConfig): void {
    const { config } = this.#owner
    if (config.mode !== before.mode) {
      this.#protectedFrom = null
      if (config.mode === 'async') this.#latched = false
    }
    this.#waitingSinceMs = null
    this.judgeFallBehind()
    this.recompute()
  }

  /** Policy `fail`: the ring is full because of it; writes fail until it has caught up. False if that was known. */
  overflowed(): boolean {
    if (this.#overflowed) return false
    this.#overflowed = true
    this.recompute()
    return true
  }

  /** The site acknowledged something: nobody has waited in vain. */
  progressed(): void {
    this.#waitingSinceMs = null
    this.judgeFallBehind()
  }

  /**
   * Judges whether it has caught up. `settled`: nothing is dirty or in flight at either side, and the largest stamp is
   * received. It is protected once it has durably what was given out before writers began to wait for it: among that may
   * be what a flush promised.
   */
  judge(settled: boolean, durableLsn: Lsn): void {
    if (settled) this.#judgeCaughtUp()
    if (this.#protectedFrom === null || this.#protected || durableLsn < this.#protectedFrom) return
    this.#protected = true
    this.#latched = true
    this.#owner.latchChanged()
    const { number } = this.#owner.config
    const message = `slink ${number} is protected: it has everything that was acknowledged`
    this.#owner.event('slink-protected', 'info', message, {})
  }

  #judgeCaughtUp(): void {
    const { ios, bytes } = this.#owner.outstanding()
    if (ios > CAUGHT_UP_ENTRIES || bytes > CAUGHT_UP_BYTES) return
    if (this.#guard !== 'live') this.happened('caught-up')
    if (!this.#overflowed) return
    this.#overflowed = false
    this.recompute()
  }

  /** An entry was appended, marks moved, or time passed: the verdict is for the writes after it. */
  judgeFallBehind(): void {
    const { config } = this.#owner
    const before = this.#forced
    const { limited } = this
    if (!limited && before === null) return
    const outstanding = this.#owner.outstanding()
    this.#forced = limited ? forces(config.fallBehind, outstanding, before !== null) : null
    if ((before === null) === (this.#forced === null)) return
    const facts = { ios: outstanding.ios, bytes: outstanding.bytes, limit: this.#forced }
    if (this.#forced !== null) {
      this.forcedCount += 1
      this.#owner.event(
        'fall-behind',
        'warning',
        `slink ${config.number} exceeds its ${this.#forced} limit: writers wait for it`,
        facts,
      )
    } else {
      const percent = resumePercentOf(config.fallBehind)
      const within = percent < FALL_BEHIND_RESUME_PERCENT_MAX ? `${percent} % of its limits` : 'its limits'
      this.#owner.event('fall-behind-end', 'info', `slink ${config.number} is within ${within} again`, facts)
    }
    this.recompute()
  }

  /** Called a few times a second. */
  tick(nowMs: number): void {
    this.judgeFallBehind()
    if (this.#holding === 'fail' || !this.keepsWriters || !this.#owner.isWaitedFor()) {
      this.#waitingSinceMs = null
      return
    }
    this.#waitingSinceMs ??= nowMs
    const holdMs = this.#holdMs()
    if (holdMs === null || nowMs - this.#waitingSinceMs < holdMs) return
    this.#waitingSinceMs = null
    const { number, overflow } = this.#owner.config
    const waited = `slink ${number} made no progress for ${Math.round(holdMs)} ms`
    switch (overflow) {
      case 'drop':
        this.#owner.event('slink-lost', 'warning', `${waited}: writers do not wait for it any more`, { holdMs })
        break
      case 'fail':
        this.#owner.event('slink-lost', 'error', `${waited}: writes fail until it is back`, { holdMs })
        break
      case 'stall':
        return
      default:
        return unreachable(overflow)
    }
    this.happened('hold-over')
    this.#owner.lost(overflow === 'fail')
  }

  /** How long a writer waits without progress; null: for ever. */
  #holdMs(): number | null {
    const { holdMs, overflow, detectMs } = this.#owner.config
    return overflow === 'stall' ? null : (holdMs ?? detectMs)
  }

  /** Works out anew whether writers wait for it, and tells if that changed. */
  recompute(): void {
    const { config, mapped } = this.#owner
    const before = this.#holding
    this.#holding = holdingOf({
      state: this.#guard,
      mode: config.mode,
      overflow: config.overflow,
      forced: this.#forced !== null,
      latched: this.#latched,
      mapped,
      overflowed: this.#overflowed,
    })
    const guarding = this.#guard === 'live' && config.mode === 'sync' && mapped
    if (guarding) this.#protectedFrom ??= this.#owner.appendedLsn()
    else this.#unprotect()
    if (before !== this.#holding) this.#waitingSinceMs = null
    this.#owner.holdingChanged()
  }

  #unprotect(): void {
    const { config } = this.#owner
    this.#protectedFrom = null
    if (this.#protected) {
      this.#protected = false
      this.#owner.event('slink-unprotected', 'warning', `slink ${config.number} is not protected any more`, {})
    }
    // A site that is let go by its policy does not hold writers at the next start either.
    if (!this.#latched || config.overflow !== 'drop') return
    this.#latched = false
    this.#owner.latchChanged()
  }
}
