/** Frames and sessions: what is checked on the wire. */
import { by, rule, stops, type Mutant } from './mutant.js'

export const WIRE: readonly Mutant[] = [
  // ----- other bugs -----

  rule(
    'the payload of a frame on the wire is not checked',
    'protocol/entry/frame',
    'return (bytes === 0 ? 0 : crc32(payload)) === readU32(header, FRAME_OFFSET.payloadCrc);',
    'return true;',
    by('protocol/entry/frame', 'random bytes and random damage are never taken for a frame'),
  ),
  rule(
    'the header of a frame is not checked',
    'protocol/entry/frame',
    "if (crc32(header.subarray(0, FRAME_OFFSET.headerCrc)) !== readU32(header, FRAME_OFFSET.headerCrc)) return 'crc';",
    '',
    by('protocol/entry/frame', 'random bytes and random damage are never taken for a frame'),
  ),
  rule(
    'the epoch is not checked',
    'protocol/session/handshake-agent',
    'if (hello.epoch < facts.epoch) {',
    'if (false) {',
    by('protocol/session/handshake', 'a refused hello fences nobody: the session that lives goes on'),
  ),
  rule(
    'an agent of another group is taken',
    'protocol/session/handshake-agent',
    'if (facts.group !== null && facts.group !== hello.group) {',
    'if (false) {',
    by(
      'protocol/session/handshake',
      'an agent refuses a wire, a group, an epoch, a slink that is not its own, each with its sentence',
    ),
  ),
  rule(
    'an agent that was promoted is written to',
    'protocol/session/handshake-agent',
    'if (facts.promoted)',
    'if (false)',
    by(
      'protocol/session/handshake',
      'an agent refuses a wire, a group, an epoch, a slink that is not its own, each with its sentence',
    ),
  ),
  rule(
    'the resume ignores the common point',
    'protocol/session/resume-plan',
    'return begin(facts, welcome, common, never',
    'return begin(facts, welcome, pointOf(replica.end), never',
    by('protocol/session/resume-plan', 'two names of one point are one point'),
  ),
  rule(
    'an agent that applied a lost tail is resumed',
    'protocol/session/resume-plan',
    'if (!history.contains(applied) || history.compare(applied, common) > 0) {',
    'if (false) {',
    by('protocol/session/resume-plan', 'no lie of an agent joins a diverged history without being told'),
  ),
  rule(
    'an agent that was told of a lost tail is resumed',
    'protocol/session/resume-plan',
    'if (!history.contains(told)) {',
    'if (false) {',
    by('protocol/session/resume-plan', 'applied or promised durable beyond what both have is corruption'),
  ),
  rule(
    'an agent that has less than it acknowledged is resumed',
    'protocol/session/resume-plan',
    'if (comparePoints(durable, position) < 0) {',
    'if (false) {',
    by('protocol/session/resume-plan', 'a replica that has less than was ever acknowledged starts over'),
  ),
  rule(
    'another agent than the recorded one is resumed',
    'protocol/session/resume-plan',
    'if (recorded !== null && recorded.agent !== welcome.agent) {',
    'if (false) {',
    by('protocol/session/resume-plan', 'another agent, another journal, another log start over'),
  ),
  rule(
    'another journal than the recorded one is resumed',
    'protocol/session/resume-plan',
    'if (recorded !== null && recorded.journal !== welcome.journal) {',
    'if (false) {',
    by('protocol/session/resume-plan', 'another agent, another journal, another log start over'),
  ),
  rule(
    'an entry at the common point that differs is not seen',
    'protocol/session/resume-plan',
    'if (crcDiffers(facts, replica, common)) {',
    'if (false) {',
    by(
      'protocol/session/resume-plan',
      'another entry at the common point is corruption; an unknown CRC on either side proves nothing',
    ),
  ),
  rule(
    'entries that the log no longer has are passed over',
    'protocol/session/resume-plan',
    'if (!facts.behind && after.lsn + 1 < facts.firstLsn) {',
    'if (false) {',
    by('protocol/session/resume-plan', 'entries that the log no longer has start over, unless the slink is behind'),
  ),
  stops(
    rule(
      'heartbeats are not sent',
      'protocol/session/pulse',
      "if (step.kind === 'send') this.#send(nowMs);",
      '',
      by('protocol/session/pulse', 'a process that was held up itself hears what waited at its door before it judges'),
    ),
  ),
  stops(
    rule(
      'a silent peer is never given up',
      'protocol/session/keep-alive',
      'if (!this.#deaf && silentMs >= this.#times.detectMs)',
      'if (false)',
      by(
        'protocol/session/pulse',
        'silence is told exactly at the detection time, and never while anything was heard within it',
      ),
    ),
  ),
  rule(
    'the window of credit is not bounded',
    'protocol/session/credit',
    'this.#window = Math.min(this.#bytesMax, Math.max(this.#bytesMin, wanted, shrunk));',
    'this.#window = Math.max(this.#bytesMin, wanted, shrunk);',
    by('protocol/session/credit', 'a short path keeps the smallest window, a long fast one stops at the budget'),
  ),
  rule(
    'credit grows with everything that was consumed',
    'protocol/session/credit',
    'const total = this.#consumed + this.#window;',
    'const total = this.#granted + this.#window;',
    by('protocol/session/credit', 'a smaller budget takes effect without taking granted credit back'),
  ),

  // ----- control frames, and acknowledgements without the library -----

  rule(
    'the CRC of a control frame does not cover the CRC of its payload',
    'protocol/entry/frame',
    'writeU32(controlTail, payloadCrc, FRAME_OFFSET.payloadCrc - FRAME_OFFSET.payloadBytes);',
    '',
    by('protocol/entry/frame', 'a control frame is what any frame of that type is, to the byte, whatever its payload'),
  ),
  rule(
    'an integer of an acknowledgement is read in a longer form than it needs',
    'protocol/control/ack-codec',
    'return isCount(value) && countBytes(value) === formBytes(tag) ? value : -1;',
    'return isCount(value) ? value : -1;',
    by('protocol/control/ack-codec', 'an integer in a longer form than it needs is left to the library'),
  ),
  rule(
    'an acknowledgement that is read the quick way may break the rules between its fields',
    'protocol/control/ack-codec',
    'return ruleProblem(ack) === null ? ack : null;',
    'return ack;',
    by('protocol/control/ack-codec', 'any payload that resembles an acknowledgement is taken or refused'),
  ),
  rule(
    'an acknowledgement with its keys in another order is written in ours',
    'protocol/control/ack-codec',
    'if (key !== KEYS[count++])',
    'if (count++ < 0)',
    by('protocol/control/ack-codec', 'an acknowledgement of another make than ours is written by the library'),
  ),
  rule(
    'an acknowledgement lies in memory that the next one is built in',
    'protocol/control/ack-codec',
    'scratch.copy(payload, 0, 0, at); return payload;',
    'return scratch.subarray(0, at);',
    by('protocol/control/ack-codec', 'the bytes of an acknowledgement never change when later ones are written'),
  ),
  rule(
    'the last field of a header that a control frame leaves 0 is not looked at',
    'protocol/control/message-codec',
    'at < UNUSED_TO;',
    'at < UNUSED_TO - 8;',
    by('protocol/control/message-codec', 'any bit of an unused field of the header is seen'),
  ),
]
