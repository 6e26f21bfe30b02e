/**
 * A session: control messages and the ordered frames of one slink over one connection, until one of them ends.
 *
 * Owns framing, the check of every CRC, credit, heartbeats and the end. It holds no policy and knows no order of
 * messages (session/handshake.ts) nor of LSNs: gaps are the owner's. It must never hand out a byte that did not check.
 *
 * - The primary sends frames, from `ready` on and never more than the agent granted. A peer that breaks that, damage on
 *   the wire, or a message that the codec refuses, ends the session with a sentence that says which.
 * - `heartbeat` and `credit` are handled here; every other message reaches {@link SessionHandler.control}. The handler
 *   is called from events of the connection and the clock only, never from within a method of the session, except that
 *   {@link Session.resume} may deliver held input.
 * - `closed` comes exactly once, last. From the first reason to end on nothing else is called, except the `batchEnd` of
 *   what was delivered before a reason that the peer gave.
 * - While paused, input is taken and held up to {@link PAUSED_INPUT_BYTES_MAX} bytes: heartbeats alone do not fill that
 *   for half an hour, and a dead peer is still noticed. Once it is full the connection is paused, and silence says
 *   nothing any more; it is judged again from `resume` on. A break of the connection itself is seen at once before that.
 */
import { assert } from '../entry/assert.js'
import type { Clock, Timer } from '../entry/clock.js'
import { frameBytes, FrameType, type Frame } from '../entry/frame.js'
import { decodeMessage, encodeMessage } from '../control/message-codec.js'
import type { ControlMessage, Heartbeat } from '../control/messages.js'
import { FIRST_MESSAGE_MS_DEFAULT, PAUSED_INPUT_BYTES_MAX } from '../limits.js'
import type { Connection } from '../transport/transport.js'
import { CreditAccount } from './credit.js'
import { KEEP_ALIVE_DEFAULT, type KeepAliveTimes } from './keep-alive.js'
import { Packer, type CompressionReport } from './packer.js'
import { Pulse } from './pulse.js'
import { SessionInput } from './session-input.js'
import type { SessionEnd, SessionHandler, SessionOptions } from './session-types.js'

/** See the file's head. Attaches itself to the connection at once; heartbeats begin at once. */
export class Session {
  readonly #connection: Connection
  readonly #role: 'primary' | 'agent'
  readonly #clock: Clock
  readonly #handler: SessionHandler
  readonly #input: SessionInput
  readonly #packer: Packer
  readonly #pulse: Pulse
  readonly #firstMessageTimer: Timer

  /** The primary's account of what the agent granted; null before `ready` came. */
  #account: CreditAccount | null = null
  /** Total that we, the agent, granted; -1 before we sent `ready`. */
  #granted = -1
  #streamFrames = 0
  #streamBytes = 0
  #receivedBytes = 0
  #sentBytes = 0

  #writable = true
  #paused = false
  #delivering = false
  /** The owner was told of something in the present batch. */
  #told = false
  #connectionPaused = false

  /** Why the session ends, once it is known: from then on nothing but `closed` is called. */
  #end: SessionEnd | null = null
  #endTimer: Timer | null = null
  #closed = false

  constructor(connection: Connection, options: SessionOptions) {
    this.#connection = connection
    this.#role = options.role
    this.#clock = options.clock
    this.#handler = options.handler
    this.#input = new SessionInput(options.payloads ?? null)
    this.#packer = new Packer(this.#clock, options.compression ?? (() => 'off'))
    this.#pulse = new Pulse(this.#clock, options.keepAlive ?? KEEP_ALIVE_DEFAULT, {
      send: (heartbeat) => this.#sendHeartbeat(heartbeat),
      silent: (forMs) => this.#destroy('silence', `nothing was heard from the peer for ${Math.round(forMs)} ms`),
    })
    const firstMs = options.firstMessageMs ?? FIRST_MESSAGE_MS_DEFAULT
    this.#firstMessageTimer = this.#clock.after(firstMs, () => {
      this.#destroy('silence', `the peer sent no first message within ${firstMs} ms`)
    })
    connection.attach({
      data: (chunk) => this.#data(chunk),
      room: () => this.#input.room(),
      drained: () => this.#drained(),
      closed: (reason) => this.#connectionClosed(reason),
    })
    this.#pulse.start()
  }

  /** Transport and peer, for logs. */
  get description(): string {
    return this.#connection.description
  }

  /** False while the connection holds more than it should: wait for {@link SessionHandler.writable}. */
  get writable(): boolean {
    return this.#writable && this.#end === null
  }

  /** Stream bytes (headers and payloads) that we may send now; 0 before `ready`. At the primary. */
  get creditBytes(): number {
    return this.#account?.left ?? 0
  }

  /** Stream frames sent (primary) or received (agent) since `ready`. */
  get streamFrames(): number {
    return this.#streamFrames
  }

  /** Stream bytes sent (primary) or received (agent) since `ready`. */
  get streamBytes(): number {
    return this.#streamBytes
  }

  /** All bytes received, whatever they were. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** Bytes handed to the connection, whatever they were. */
  get sentBytes(): number {
    return this.#sentBytes
  }

  /** What is compressed of what this side sends, and why. */
  get compression(): CompressionReport {
    return this.#packer.report()
  }

  /** Tells that there is nothing to send: what compression is worth is measured only while there is. */
  idle(): void {
    this.#packer.idle()
  }

  /** Bytes that wait in the connection. */
  get queuedBytes(): number {
    return this.#connection.queuedBytes
  }

  /** Shortest recent round trip in milliseconds; null before the first. */
  get rttMs(): number | null {
    return this.#pulse.rttMs
  }

  /** The peer's wall clock minus ours in microseconds, for reports; null before the first round trip. */
  get clockOffsetUs(): number | null {
    return this.#pulse.clockOffsetUs
  }

  /** True from the first reason to end on. */
  get ended(): boolean {
    return this.#end !== null
  }

  /** The times agreed in the handshake. */
  setKeepAlive(times: KeepAliveTimes): void {
    this.#pulse.retime(times)
  }

  /**
   * Sends a message behind all that was sent before; answers {@link writable}. It is queued in any case, so that a
   * caller that repeats itself (acks) asks `writable` first. `ready` opens our side for frames. After the end: nothing.
   */
  sendControl(message: Exclude<ControlMessage, { kind: 'heartbeat' | 'credit' }>): boolean {
    if (this.#end !== null) return false
    if (message.kind === 'ready') {
      assert(this.#role === 'agent' && this.#granted < 0, 'the agent says ready once')
      this.#granted = message.creditBytes
    }
    return this.#write(encodeMessage(message))
  }

  /**
   * Sends stream frames as they are: the very header and payload buffers, which must not change until they are gone.
   * Answers {@link writable}. The caller has asked `creditBytes`; more than that is a bug. After the end: nothing.
   */
  sendFrames(frames: readonly Frame[]): boolean {
    if (this.#end !== null) return false
    assert(this.#role === 'primary' && this.#account !== null, 'frames are sent by the primary, after ready')
    let bytes = 0
    for (const frame of frames) {
      assert(frame.type < FrameType.control, 'control messages are sent with sendControl, packed frames are made here')
      bytes += frameBytes(frame)
    }
    if (bytes === 0) return this.writable
    const chunks = this.#packer.chunks(frames, bytes)
    this.#account.spend(bytes)
    this.#streamFrames += frames.length
    this.#streamBytes += bytes
    for (const chunk of chunks) this.#sentBytes += chunk.length
    return this.#noteRoom(this.#connection.write(chunks))
  }

  /** Raises the total of stream bytes that the primary may send since `ready`. A total that is not higher says nothing. */
  grant(totalBytes: number): void {
    if (this.#end !== null || totalBytes <= this.#granted) return
    assert(this.#role === 'agent' && this.#granted >= 0, 'credit is granted by the agent, after ready')
    this.#granted = totalBytes
    this.#write(encodeMessage({ kind: 'credit', bytes: totalBytes }))
  }

  /** Stops the delivery of frames and messages, at once, also within a batch. */
  pause(): void {
    this.#paused = true
  }

  /** Goes on with delivery: first what was held, now, then what comes. */
  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    if (!this.#delivering) this.#deliver()
  }

  /** Says `bye`, sends what is queued, and ends. */
  close(reason: string): void {
    if (this.#end !== null) return
    this.#write(encodeMessage({ kind: 'bye', reason }))
    this.#finish({ kind: 'local', message: reason, code: null })
  }

  /** Reports a fatal error to the peer, sends what is queued, and ends. `code` has at most 64 bytes. */
  fail(code: string, message: string): void {
    this.#fail('local', code, message)
  }

  /** Refuses the peer: sends the message (a `refuse`) behind what is queued, and ends. */
  refuse(message: Extract<ControlMessage, { kind: 'refuse' }>): void {
    if (this.#end !== null) return
    this.#write(encodeMessage(message))
    this.#finish({ kind: 'local', message: message.message, code: message.code })
  }

  /** Ends at once; what is queued, either way, is dropped. */
  destroy(reason: string): void {
    this.#destroy('local', reason)
  }

  #write(frame: Frame): boolean {
    const chunks = frame.payload === null ? [frame.header] : [frame.header, frame.payload]
    this.#sentBytes += frameBytes(frame)
    return this.#noteRoom(this.#connection.write(chunks))
  }

  #noteRoom(room: boolean): boolean {
    if (!room) this.#writable = false
    return room
  }

  /** Behind a full queue a heartbeat comes no sooner, and what waits there proves our life as well: then none is sent. */
  #sendHeartbeat(heartbeat: Heartbeat): boolean {
    if (!this.writable) return false
    this.#write(encodeMessage(heartbeat))
    return true
  }

  #drained(): void {
    if (this.#end !== null) return
    this.#writable = true
    this.#handler.writable()
  }

  #data(chunk: Buffer): void {
    if (this.#end !== null) return
    this.#receivedBytes += chunk.length
    this.#pulse.heard()
    this.#input.push(chunk)
    if (!this.#paused) {
      if (!this.#delivering) this.#deliver()
    } else if (this.#input.heldBytes >= PAUSED_INPUT_BYTES_MAX && !this.#connectionPaused) {
      this.#connectionPaused = true
      this.#connection.pause()
      this.#pulse.setDeaf(true)
    }
  }

  /** Delivers what has arrived until it is used up, we are paused or the session ends. */
  #deliver(): void {
    this.#delivering = true
    this.#told = false
    while (!this.#paused && this.#end === null) {
      const step = this.#input.next()
      if (step.kind === 'frame') {
        this.#onFrame(step.frame)
      } else if (step.kind === 'damaged') {
        this.#fail('protocol', 'damaged', `damage on the wire: ${step.why}`)
      } else break
    }
    this.#delivering = false
    if (this.#told && this.#end?.kind !== 'local') this.#handler.batchEnd()
    // batchEnd may have paused us again, or ended the session.
    if (this.#connectionPaused && !this.#paused && !this.ended) this.#listenAgain()
  }

  #listenAgain(): void {
    this.#connectionPaused = false
    this.#pulse.setDeaf(false)
    this.#connection.resume()
  }

  #onFrame(frame: Frame): void {
    if (frame.type === FrameType.control) {
      const decoded = decodeMessage(frame)
      if (decoded.ok) this.#onMessage(decoded.value)
      else this.#fail('protocol', 'message', `a control message was refused: ${decoded.why}`)
      return
    }
    const bytes = frameBytes(frame)
    if (this.#granted < 0)
      return this.#fail('protocol', 'order', 'a frame of the stream came before this side was ready for one')
    if (frame.type === FrameType.packed) {
      const problem = this.#input.open(frame, this.#granted - this.#streamBytes)
      if (problem !== null) this.#fail('protocol', 'damaged', problem)
      return
    }
    if (this.#streamBytes + bytes > this.#granted) {
      return this.#fail('protocol', 'credit', `the peer sent more than the ${this.#granted} bytes that it was granted`)
    }
    this.#streamFrames += 1
    this.#streamBytes += bytes
    this.#told = true
    this.#handler.frame(frame, this.#streamFrames)
  }

  #onMessage(message: ControlMessage): void {
    switch (message.kind) {
      case 'heartbeat':
        return this.#pulse.onHeartbeat(message)
      case 'credit':
        if (this.#account === null || !this.#account.raise(message.bytes)) {
          return this.#fail('protocol', 'credit', 'the peer sent credit before ready, or less than before')
        }
        return this.#handler.writable()
      case 'codecs':
        if (this.#role !== 'primary' || this.#account !== null) {
          return this.#fail('protocol', 'order', 'the peer sent codecs at a place where it has none')
        }
        return this.#packer.peerReads(message.codecs)
      case 'ready':
        if (this.#role !== 'primary' || this.#account !== null) {
          return this.#fail('protocol', 'order', 'the peer sent ready at a place where it has none')
        }
        this.#account = new CreditAccount(message.creditBytes)
        break
      case 'bye':
        return this.#finish({ kind: 'peer-bye', message: message.reason, code: null })
      case 'error':
        if (message.fatal) return this.#finish({ kind: 'peer-error', message: message.message, code: message.code })
        break
      default:
        break
    }
    this.#firstMessageTimer.cancel()
    this.#told = true
    this.#handler.control(message)
  }

  #fail(kind: 'protocol' | 'local', code: string, message: string): void {
    if (this.#end !== null) return
    this.#write(encodeMessage({ kind: 'error', code, message, fatal: true }))
    this.#finish({ kind, message, code })
  }

  /** Ends after what is queued is sent, or after the detection time if the peer does not take it. */
  #finish(end: SessionEnd): void {
    if (!this.#become(end)) return
    this.#connection.close()
    this.#endTimer = this.#clock.after(this.#pulse.times.detectMs, () => this.#connection.destroy())
  }

  #destroy(kind: SessionEnd['kind'], message: string): void {
    // A slow farewell under way is cut short; its reason stays the first.
    if (this.#become({ kind, message, code: null }) || !this.#closed) this.#connection.destroy()
  }

  #become(end: SessionEnd): boolean {
    if (this.#end !== null) return false
    this.#end = end
    this.#input.clear()
    this.#pulse.stop()
    this.#firstMessageTimer.cancel()
    return true
  }

  #connectionClosed(reason: Error | null): void {
    this.#become({
      kind: 'connection',
      message: reason === null ? 'the peer closed the connection' : reason.message,
      code: null,
    })
    this.#closed = true
    this.#endTimer?.cancel()
    this.#handler.closed(this.#end as unknown as SessionEnd)
  }
}
