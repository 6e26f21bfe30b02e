/**
 * The memory guard: gives buffers that are no longer used back to the system soon, so that a daemon's resident memory
 * stays near what it really holds.
 *
 * Payload buffers live outside the JavaScript heap and are freed by its collector, which a nearly empty heap seldom
 * starts. The guard starts it when the memory outside the heap has grown by a step since the last time, or by a part of
 * one and then rests: the young generation first, which is where most buffers die and costs a fraction, the whole heap
 * where that did not give back half of a step. It holds no buffer, never runs more often than its interval, and never
 * forces a collection of the whole heap while the system has memory: that stops the program for tens of milliseconds, and
 * takes the compiled code of every class of which no object lives at that moment (decision 0004). It makes V8 begin one
 * beside the program.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { Clock, Timer } from '@sitelink/protocol/entry'
import { keepFreedMemory } from './malloc-settings.js'

export interface MemoryGuardOptions {
  readonly clock: Clock
  /** Growth outside the heap that starts a collection, in bytes. */
  readonly stepBytes?: number
  /** How often it looks, in milliseconds. */
  readonly intervalMs?: number
}

const STEP_BYTES = 32 * 1024 * 1024
const INTERVAL_MS = 100

/**
 * Buffers count as heap of V8 once they have lived a little: it would look through the whole heap each time that twice
 * what survived the last time has come in again, several times a second. Read by V8 whenever it sets its next limit.
 */
const HEAP_GROWTH_PERCENT = 300

/**
 * Bytes outside the heap that a collection of the whole heap is begun for, whatever the heap holds: more than V8's
 * `kExternalAllocationSoftLimit` of 64 MiB above the lowest that it has seen since the last one.
 */
const PRESSURE_BYTES = 65 * 1024 * 1024

/** A collection that was begun has ended after so many looks; what is left then is held. */
const SETTLING_LOOKS = 3

/** After so many looks without growth, a part of a step is worth a collection. */
const IDLE_LOOKS = 20

/** Starts to watch; the result stops it. */
export function guardMemory({
  clock,
  stepBytes = STEP_BYTES,
  intervalMs = INTERVAL_MS,
}: MemoryGuardOptions): () => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void
  const collectYoung = (): void => collect({ type: 'minor' })
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`)
  keepFreedMemory()
  const { port1: nowhere, port2: otherEnd } = new MessageChannel()
  otherEnd.close()
  let floorBytes = outsideBytes()
  let lastBytes = floorBytes
  let idleLooks = 0
  let settlingLooks = 0
  let timer: Timer
  const look = (): void => {
    const bytes = outsideBytes()
    idleLooks = bytes === lastBytes ? idleLooks + 1 : 0
    const rests = idleLooks === IDLE_LOOKS && bytes > floorBytes + stepBytes / 4
    if (settlingLooks > 0) {
      settlingLooks -= 1
      floorBytes = bytes
    } else if (bytes > floorBytes + stepBytes || rests) {
      if (!rests) collectYoung()
      if (rests || outsideBytes() > floorBytes + stepBytes / 2) {
        if (!beginCollection(nowhere)) collect()
        settlingLooks = SETTLING_LOOKS
      }
    } else if (bytes < floorBytes) floorBytes = bytes
    lastBytes = outsideBytes()
    timer = clock.after(intervalMs, look)
  }
  timer = clock.after(intervalMs, look)
  return () => timer.cancel()
}

function outsideBytes(): number {
  return getHeapStatistics().external_memory
}

/**
 * Has V8 begin to mark the whole heap, in its own threads and in small steps, as it does by itself where memory outside
 * the heap grows. The memory is counted and never touched, so the system gives none; a port without another end takes it
 * away in the same call. False where the system does not promise so much.
 */
function beginCollection(nowhere: MessagePort): boolean {
  try {
    nowhere.postMessage(null, [new ArrayBuffer(PRESSURE_BYTES)])
    return true
  } catch {
    return false
  }
}
