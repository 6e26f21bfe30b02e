/** Who waits for memory: whatever becomes of the devices meanwhile, it is told as soon as waiting is of no use any more. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameType, PayloadPool } from '@sitelink/protocol/entry'
import { Prng, seedFromEnv, type FaultDisk } from '../../src/testing/index.js'
import { MIB, World } from './world.js'

const DEVICES = 3

/** Notes as an applier does: what is allowed, while there is memory, and again only when it is told to look. */
class Writer {
  left = 120
  waits = 0
  #next: { type: FrameType; deviceId: number; offset: number; length: number } | null = null

  constructor(
    readonly world: World,
    readonly prng: Prng,
  ) {}

  get mayGoOn(): boolean {
    const { writeBack } = this.world
    return this.#next === null || (writeBack.hasRoom(this.#bytes) && writeBack.hasMemory(this.#bytes))
  }

  get #bytes(): number {
    return this.#next === null || this.#next.type === FrameType.zeroes ? 0 : this.#next.length
  }

  go(): void {
    const { world, prng } = this
    for (; this.left > 0; this.left--) {
      this.#next ??= {
        type: prng.pick([FrameType.write, FrameType.write, FrameType.copy, FrameType.zeroes]),
        deviceId: prng.between(1, DEVICES),
        offset: prng.below(MIB / 4) * 4,
        length: prng.pick([4, 512, 4096, 16_384, 65_536]),
      }
      if (!this.mayGoOn) {
        this.waits++
        return
      }
      world.note(this.#next)
      world.allow()
      this.#next = null
    }
  }
}

function trouble(world: World, prng: Prng, gone: Set<number>, under: Promise<unknown>[]): void {
  const id = prng.between(1, DEVICES)
  const disk = world.disks.get(id) as FaultDisk
  const { writeBack } = world
  switch (prng.below(8)) {
    case 0:
      disk.inject({ on: prng.pick(['write', 'sync']), error: 'EIO', count: prng.between(1, 4) })
      return
    case 1:
      disk.inject({ on: 'write', delayMs: 10_000, count: 1 })
      return
    case 2:
      if (gone.has(id)) return
      gone.add(id)
      under.push(writeBack.detach(id, 'drop').then(() => world.addDisk(id, disk)))
      return
    case 3:
      writeBack.checkpoint()
  }
}

test('who waits for memory is told when there is some, or when waiting is of no use, whatever devices do', async () => {
  const seed = seedFromEnv('memory wait')
  let waits = 0
  for (let life = 0; life < 60; life++) {
    const prng = new Prng(`${seed}/${life}`)
    const world = new World({
      prng,
      deviceCount: DEVICES,
      latency: true,
      ...(prng.chance(0.5) ? { payloads: new PayloadPool(MIB) } : {}),
      limits: {
        memoryBytesMax: prng.pick([1, 4096, 65_536, 300_000]),
        putOffBytesMax: 0,
        layerBytes: prng.pick([4096, 65_536]),
        closedLayersMax: prng.pick([1, 4]),
      },
    })
    const writer = new Writer(world, prng)
    const gone = new Set<number>()
    const under: Promise<unknown>[] = []
    const signs = (): number => world.roomFreed + world.applied.position
    let told = signs()
    writer.go()
    for (let step = 0; writer.left > 0; step++) {
      assert(step < 2000, `life ${life}: ${writer.left} entries wait for ever`)
      if (step < 40) trouble(world, prng, gone, under)
      for (let ms = prng.pick([1, 5, 50]); ms > 0 && writer.left > 0; ms--) {
        await world.clock.advance(1)
        if (signs() === told) assert(!writer.mayGoOn, `life ${life}: it may go on, and nobody said so`)
        else writer.go()
        told = signs()
      }
    }
    waits += writer.waits
    await world.clock.runUntil(Promise.all(under), 60_000)
    await world.clock.runUntil(world.writeBack.stop(), 60_000)
  }
  assert(waits > 500, `${waits} waits`)
})
