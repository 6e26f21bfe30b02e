/** The protocol between primary and agent: frames, messages, sessions, transports. No disk, no policy. */
export {
  decodeMapPayload,
  decodeMessage,
  decodeResyncBeginPayload,
  decodeUnmapPayload,
  encodeMapPayload,
  encodeMessage,
  encodeResyncBeginPayload,
  encodeUnmapPayload,
  type Decoded,
} from './control/message-codec.js'
export * from './control/messages.js'
export * from './entry/index.js'
export * from './errors.js'
export * from './limits.js'
export { checkedAck, worthSending } from './receive/ack-policy.js'
export { AgentSession, type RangeAnswer, type SessionHost, type VerifiedRange } from './receive/agent-session.js'
export { grantableWindow } from './receive/credit-grant.js'
export { isCopy, isEntry, StreamOrder, type StreamPlace } from './receive/order-check.js'
export { rangeDigest } from './receive/range-digest.js'
export { rangeProblem, type StreamDevice } from './receive/range-check.js'
export { Receiver, type ReceiverHost } from './receive/receiver.js'
export { backoffMs, type BackoffTimes } from './session/backoff.js'
export type { CompressionMode, CompressionWhy } from './session/compression-policy.js'
export * from './session/credit.js'
export * from './session/handshake-agent.js'
export * from './session/handshake-primary.js'
export { eventName, mappingsProblem, type HandshakeStep, type Refusal } from './session/handshake.js'
export * from './session/history.js'
export * from './session/keep-alive.js'
export type { CompressionReport } from './session/packer.js'
export * from './session/resume-plan.js'
export * from './session/session.js'
export * from './session/session-types.js'
export * from './transport/address.js'
export { KEYED_SCHEMES, type KeyedOptions, type KeyedTransport } from './transport/keyed.js'
export * from './transport/keyed-transports.js'
export type { ProvenOptions } from './transport/proven-links.js'
export { HttpsTransport, type HttpsTransportOptions } from './transport/https.js'
export {
  findHttp3,
  HTTP3_PACKAGE,
  type Http3Library,
  type Http3Session,
  type LoadHttp3,
} from './transport/http3-library.js'
export { HTTP3_PATIENCE_MS, HTTP3_RETRY_MS } from './transport/http3-choice.js'
export { HTTP3_ANSWER_MS } from './transport/http3-dial.js'
export { QUIC_MODES, type Carrier, type QuicMode } from './transport/quic-mode.js'
export type { MakeCertificate, ShortCertificate } from './transport/short-certificate.js'
export * from './transport/memory.js'
export { QUIC_IDLE_MS, QuicTransport, type QuicTransportOptions } from './transport/quic.js'
export { loadQuic, quicProblem, type QuicNative } from './transport/quic-native.js'
export { Landing } from './transport/read-into.js'
export * from './transport/registry.js'
export { fingerprintOf, isFingerprint, shownKeys, SUCCESSIONS_MAX } from './transport/shown-keys.js'
export * from './transport/tcp.js'
export * from './transport/tls.js'
export type { Judge, Judgement, ShownPeer, TlsIdentity } from './transport/tls-gate.js'
export { GATE_MS, GATES_MAX, type TlsRefusal } from './transport/tls-waiting-room.js'
export type { Purpose } from './transport/tls-words.js'
export * from './transport/transport.js'
export * from './version.js'
export { PERFECT_LINK, type LinkConditions } from './transport/memory-pipe.js'
export { SocketConnection } from './transport/socket-connection.js'
export { clipText } from './control/fields.js'
export { ENROL_WHY, type EnrolCode, type EnrolPair, type EnrolRequest } from './enrol/enrol-words.js'
export * from './enrol/enrolment.js'
export * from './enrol/invitation-book.js'
export * from './enrol/token.js'
