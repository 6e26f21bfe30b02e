/**
 * Carries out the steps of a round: what each fault is, and what is looked at while somebody is dead.
 *
 * Each step leaves things as it found them: who was killed runs again and has been judged, what was frozen goes on, what
 * was cut is mended, what was filled is free.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Cast } from './cast.js'
import type { Crew } from './crew.js'
import type { Operator } from './operator.js'
import { type Site, type Step, stepName, stepText } from './plan.js'
import type { SiteJudge } from './site-judge.js'
import type { Trace } from './trace.js'

type ProcessStep = Extract<Step, { kind: 'process' }>
type NetworkStep = Extract<Step, { kind: 'network' }>

/** A link that flaps is cut and mended so often. */
const FLAP_MS = 150

export class Lanes {
  constructor(
    private readonly cast: Cast,
    private readonly trace: Trace,
    private readonly crew: Crew,
    private readonly judge: SiteJudge,
    private readonly operator: Operator,
  ) {}

  /** All lanes side by side. Ends early, between two steps, once a promise is broken. */
  async run(lanes: readonly (readonly Step[])[]): Promise<void> {
    const ended = await Promise.allSettled(lanes.map((lane) => this.#lane(lane)))
    for (const each of ended) if (each.status === 'rejected') throw each.reason
  }

  async #lane(lane: readonly Step[]): Promise<void> {
    for (const step of lane) {
      await delay(step.afterMs)
      if (this.trace.violation !== null) return
      this.trace.say(stepText(step))
      this.trace.count(`fault: ${stepName(step)}`)
      await this.#do(step)
    }
  }

  async #do(step: Step): Promise<void> {
    switch (step.kind) {
      case 'process':
        if (step.fault === 'freeze') await this.#freeze(step)
        else if (step.site === 'primary') await this.#primary(step)
        else await this.#agent(step, step.site)
        return
      case 'network':
        await this.#network(step)
        return
      case 'disk-full': {
        const daemon = this.cast.daemon(step.site)
        daemon.fillDisk()
        await delay(step.forMs)
        daemon.freeDisk()
        return
      }
      case 'verb':
        await this.operator.perform(step)
    }
  }

  #freeze({ site, forMs }: ProcessStep): Promise<void> {
    const daemon = this.cast.daemon(site)
    return daemon.exclusive(() => daemon.freeze(forMs))
  }

  async #primary({ fault, forMs }: ProcessStep): Promise<void> {
    const daemon = this.cast.daemon('primary')
    await daemon.exclusive(async () => {
      const stopped = fault === 'restart'
      if (stopped) await daemon.stop()
      else await daemon.kill()
      await this.crew.lost(stopped)
      if (stopped && !daemon.diskExcuses) await this.judge.primary('the local devices of a stopped primary', true)
      await this.#whileDown('primary', fault, forMs)
      await this.revivePrimary()
    })
  }

  /** The primary runs again: it has everything that it acknowledged, and the writers go on. Within `exclusive`. */
  async revivePrimary(): Promise<void> {
    const daemon = this.cast.daemon('primary')
    await this.crew.lost()
    await daemon.start()
    await this.judge.primary('the restarted primary')
    await this.crew.resume()
  }

  async #agent({ fault, forMs }: ProcessStep, site: Site): Promise<void> {
    const daemon = this.cast.daemon(site)
    const slink = site === 'agent-1' ? 1 : 2
    const agent = this.cast.cluster.agent(slink)
    await daemon.exclusive(async () => {
      if (fault === 'restart') await daemon.stop()
      else await daemon.kill()
      const reunite = await this.cast.link(slink).isolate()
      const replayed = await this.judge.replay(agent)
      await this.#whileDown(site, fault, forMs)
      await daemon.start()
      // One that dies of its full disk meanwhile is nobody's witness.
      await this.judge.agent(agent, replayed).catch((error: unknown) => {
        if (this.trace.violation !== null || !daemon.diskExcuses) throw error
      })
      await reunite()
    })
  }

  async #whileDown(site: Site, fault: ProcessStep['fault'], forMs: number): Promise<void> {
    if (fault === 'crash-start') {
      const daemon = this.cast.daemon(site)
      daemon.launch()
      await delay(forMs)
      await daemon.kill()
    } else {
      await delay(forMs)
    }
  }

  async #network({ slink, fault, amount, forMs }: NetworkStep): Promise<void> {
    const link = this.cast.link(slink)
    switch (fault) {
      case 'half-open':
        link.proxy.halfOpen()
        return
      case 'flap':
        for (let leftMs = forMs; leftMs > 0; leftMs -= FLAP_MS) {
          link.proxy.reset()
          await delay(FLAP_MS)
        }
        return
      default: {
        const needsAmount = fault === 'delay' || fault === 'limit'
        const mend = await link.hold(needsAmount ? { kind: fault, amount } : { kind: fault })
        await delay(forMs)
        await mend()
      }
    }
  }
}
