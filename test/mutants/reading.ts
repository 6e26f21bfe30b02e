/** Where the bytes of sockets are read into. */
import { by, rule, type Mutant } from './mutant.js'

const WHEREVER = by(
  'protocol/session/session-input',
  'frames come out as they were sent, wherever and in whatever pieces they were read',
)

export const READING: readonly Mutant[] = [
  rule(
    'memory is handed out for two reads',
    'protocol/transport/read-into',
    'if (chunk.buffer === this.#piece?.buffer)',
    'if (false)',
    by('protocol/transport/read-into', 'a landing hands out no byte twice, and room for a read each time'),
  ),
  rule(
    'what is read behind chunks that wait goes to the place of the first of them',
    'protocol/session/session-input',
    'this.#input.room(this.#held.length === 0)',
    'this.#input.room(true)',
    WHEREVER,
  ),
  rule(
    'whatever follows the beginning of a payload is taken for in its place',
    'protocol/session/frame-input',
    'if (this.#at > 0 || !isInPlace(chunk, into, this.#filled))',
    'if (this.#at > 0)',
    WHEREVER,
  ),
  rule(
    'the rest of a payload is read elsewhere and copied',
    'protocol/session/frame-input',
    'payload.length - this.#filled >= DIRECT_BYTES_MIN',
    'false',
    by('protocol/session/session-input', 'the rest of a large payload is read to where it stays'),
  ),
  rule(
    'sockets ignore where bytes are wanted',
    'protocol/transport/read-into',
    'if (slots !== null &&',
    'if (false &&',
    by('protocol/transport/read-into', 'tcp: both ends read to where they are told, whatever pauses'),
  ),
  rule(
    'a payload over NBD is read into the wrong place',
    'nbd/byte-reader',
    'this.#begun(takeBytes).subarray(this.#partialFilled)',
    'this.#begun(takeBytes)',
    by('nbd/byte-reader', 'headers and payloads are the same wherever they were read'),
  ),
  rule(
    'the whole heap is collected at once',
    'daemon/memory-guard',
    'beginCollection(nowhere); settlingLooks',
    'collect(); settlingLooks',
    by('daemon/memory-guard', 'given back once they have grown by a step, and no whole heap is forced'),
  ),
  rule(
    'memory is given back although somebody holds it',
    'protocol/entry/payload-memory',
    'if (this.#holds > 0) return;',
    '',
    by('protocol/entry/payload-memory', 'memory that is still held is not touched'),
  ),
  rule(
    'memory that was given back is still seen under its old name',
    'protocol/entry/payload-memory',
    'structuredClone(memory, { transfer: [memory] })',
    'memory',
    by('protocol/entry/payload-memory', 'what named memory that was given back is empty'),
  ),
  rule(
    'memory is given back while bytes may be read into it',
    'protocol/session/frame-input',
    'this.#memory?.hold();',
    '',
    by('protocol/session/session-input', 'memory that bytes may still be read into is not given back'),
  ),
  rule(
    'payloads that others keep lie in memory that is given back',
    'protocol/session/frame-input',
    'const isData = type === FrameType.write || type === FrameType.copy;',
    'const isData = type !== 0;',
    by('protocol/session/session-input', 'only payloads of writes and copies lie in memory that is given back'),
  ),
  rule(
    'the memory of payloads on their device is never given back',
    'storage/write-back/layer',
    'for (const memory of lent) memory.release();',
    '',
    by('storage/write-back/write-back', 'the memory of a payload is given back once its part is on the device'),
  ),
  rule(
    'a read shows memory that may be given back meanwhile',
    'storage/write-back/overlay',
    'bytes: lent ? Buffer.from(bytes) : bytes',
    'bytes',
    by('storage/write-back/write-back', 'the memory of a payload is given back once its part is on the device'),
  ),
  rule(
    'what was overwritten in memory that is given back is not counted',
    'storage/write-back/layer',
    'payload === null || memory !== null ? 0',
    'payload === null ? 0',
    by('storage/write-back/write-back', 'what was overwritten in memory that is given back counts as memory'),
  ),
  rule(
    'the memory of a payload is given back as soon as it is noted',
    'storage/write-back/layer-stack',
    'if (payload === null) frame.memory?.release();',
    'frame.memory?.release();',
    by('storage/write-back/model', 'whatever happens, reads see the newest bytes and the devices end with them'),
  ),
  rule(
    'a log that is read once hands out again what was taken',
    'storage/ring-log/recent',
    'position < Math.max(first.position, this.#takenEnd)',
    'position < first.position',
    by('storage/ring-log/recent', 'what was taken in a log that is read once is not handed out again'),
  ),
  rule(
    'who reads further back in a log that is read once brings back what was taken',
    'storage/ring-log/recent',
    'this.#takenEnd = Math.max(this.#takenEnd, position);',
    'this.#takenEnd = position;',
    by('storage/ring-log/recent', 'what was taken in a log that is read once is not handed out again'),
  ),
]
