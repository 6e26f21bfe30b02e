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
]
