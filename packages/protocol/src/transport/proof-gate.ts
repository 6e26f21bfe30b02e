/**
 * The gate of a channel that does not know our identities by itself: the proofs and verdicts of proof-words.ts, at both
 * ends, in their order.
 *
 * Owns the steps. Fails closed: without a proof and a judgement nothing of the peer is read and nothing is handed on. The
 * side that listens shows itself first, as over TLS; the side that dials says who it is only to a peer whose key is good.
 * It keeps no list and knows no policy.
 */
import { ProtocolError, reasonOf } from '../errors.js'
import type { Attempt } from './attempt.js'
import { ExactReader, PeerError, type ByteStream } from './byte-stream.js'
import {
  CERTIFICATES_BYTES_MAX,
  decodeOpening,
  encodeOpening,
  encodeProof,
  HEARD,
  judgeProof,
  LENGTH_BYTES,
  NONCE_BYTES,
  OPENING_BYTES,
  SIGNATURE_BYTES,
  type ProofContext,
  type ProofOutcome,
  type ProofSide,
} from './proof-words.js'
import type { Judge, Judgement, ShownPeer, TlsIdentity } from './tls-gate.js'
import { decodeVerdict, encodeVerdict, VERDICT_BYTES, VERDICT_ERRORS, type Purpose, type Verdict } from './tls-words.js'

/** A stream between two ends that are still strangers. */
export interface Channel {
  readonly stream: ByteStream
  /** What both ends know of it: see {@link ProofContext.channel}. */
  readonly name: string
  /** `host:port` of the other end. */
  readonly remote: string
}

export interface GateParts {
  readonly identity: TlsIdentity
  readonly judge: Judge
  /** A number of 32 bytes that was never used before. */
  readonly nonce: Buffer
}

/** Who was met, and what of the stream was read already. */
export interface Passed {
  readonly peer: ShownPeer
  readonly ahead: Buffer
}

/** The side that dialled. How it fails is told to `on`, whose tear-down ends the stream. */
export async function proveAsDialler(
  { stream, name, remote }: Channel,
  purpose: Purpose,
  address: string,
  on: Attempt,
  { identity, judge, nonce }: GateParts,
  /** Its key is good: from here on it can be revoked. */
  known: (peer: ShownPeer) => void,
): Promise<Passed> {
  const fail = (error: ProtocolError): never => {
    on.fail(error)
    throw error
  }
  const step = <T>(promise: Promise<T>): Promise<T> => Promise.race([promise, on.failed])
  const reader = new ExactReader(stream)
  const broke = (error: unknown): never => fail(new ProtocolError('PROOF_FAILED', { address, why: reasonOf(error) }))
  const take = (bytes: number): Promise<Buffer> =>
    step(reader.take(bytes)).then((taken) => taken ?? broke('the peer ended the connection'), broke)

  // One that closes its listener ends every connection before it says a word.
  const opening = stream.write(encodeOpening({ purpose, nonce })).then(() => reader.take(NONCE_BYTES))
  const listenerNonce = await step(
    opening.catch((error: unknown) => (error instanceof PeerError ? broke(error) : null)),
  )
  if (listenerNonce === null) return fail(new ProtocolError('DIAL_REFUSED', { address }))
  const context: ProofContext = { channel: name, purpose, diallerNonce: nonce, listenerNonce }
  const proof = await takeProof(take, 'listening', context)
  if (proof.kind === 'unproven') return fail(new ProtocolError('PROOF_WRONG', { address, why: proof.why }))
  const peer: ShownPeer = { keys: proof.keys, remote, purpose }
  const judgement = await step(judged(judge, peer))
  if (judgement.kind === 'refused') {
    await step(stream.write(encodeVerdict(judgement.verdict)).then(() => stream.finish())).catch(broke)
    // It is heard of only if the connection lives until the peer has read it, and ended it.
    await step(reader.take(1)).catch(() => null)
    return fail(
      new ProtocolError('TLS_WRONG_KEY', { address, shown: peer.keys[0]?.slice(0, 16) ?? 'none', why: judgement.why }),
    )
  }
  known(peer)
  const own = encodeProof(identity, 'dialling', context)
  await step(stream.write(Buffer.concat([encodeVerdict('admitted'), own]))).catch(broke)
  const verdict = decodeVerdict(await take(VERDICT_BYTES))
  if (verdict === null) return broke('the peer said no verdict')
  if (verdict !== 'admitted')
    return fail(new ProtocolError(VERDICT_ERRORS[verdict], { address, own: identity.fingerprint.slice(0, 16) }))
  await step(stream.write(HEARD)).catch(broke)
  on.done()
  return { peer, ahead: reader.rest }
}

/** How the gate ended for the side that listens. */
export type Received =
  | { readonly kind: 'proven'; readonly peer: ShownPeer; readonly reader: ExactReader }
  /** It may be told so. `why` ends a sentence about the peer. */
  | {
      readonly kind: 'refused'
      readonly verdict: Exclude<Verdict, 'admitted'>
      readonly key: string | null
      readonly why: string
    }
  /** There is nobody left to tell. */
  | { readonly kind: 'gone'; readonly key: string | null; readonly why: string }

/** The side that listens. The verdict is the caller's to say: {@link letIn}, {@link turnAway}. Never rejects. */
export async function proveAsListener({ stream, name, remote }: Channel, parts: GateParts): Promise<Received> {
  try {
    return await receive(stream, name, remote, parts)
  } catch (error) {
    const why = error instanceof PeerError ? error.message : 'it went away before it had shown who it is'
    return { kind: 'gone', key: null, why }
  }
}

async function receive(
  stream: ByteStream,
  name: string,
  remote: string,
  { identity, judge, nonce }: GateParts,
): Promise<Received> {
  const reader = new ExactReader(stream)
  const take = async (bytes: number): Promise<Buffer> => {
    const taken = await reader.take(bytes)
    if (taken === null) throw new PeerError('it went away before it had shown who it is')
    return taken
  }
  const opening = decodeOpening(await take(OPENING_BYTES))
  if (opening === null) return { kind: 'gone', key: null, why: 'it names no protocol of Sitelink' }
  const { purpose } = opening
  const context: ProofContext = { channel: name, purpose, diallerNonce: opening.nonce, listenerNonce: nonce }
  await stream.write(Buffer.concat([nonce, encodeProof(identity, 'listening', context)]))
  const verdict = decodeVerdict(await take(VERDICT_BYTES))
  if (verdict !== 'admitted') return { kind: 'gone', key: null, why: 'it refuses the identity of this side' }
  const proof = await takeProof(take, 'dialling', context)
  if (proof.kind === 'unproven') return { kind: 'refused', verdict: 'unknown', key: null, why: proof.why }
  const peer: ShownPeer = { keys: proof.keys, remote, purpose }
  // Whoever comes to enrol proves more behind the gate.
  const judgement = purpose === 'enrol' ? ({ kind: 'known' } as const) : await judged(judge, peer)
  if (judgement.kind === 'refused')
    return { kind: 'refused', verdict: judgement.verdict, key: peer.keys[0] ?? null, why: judgement.why }
  return { kind: 'proven', peer, reader }
}

/** Says a verdict that is not good, and waits until the peer has ended the stream, so that it was heard. Never rejects. */
export async function turnAway(stream: ByteStream, verdict: Exclude<Verdict, 'admitted'>): Promise<void> {
  try {
    await stream.write(encodeVerdict(verdict))
    await stream.finish()
    while ((await stream.read()) !== null);
  } catch {
    // It is gone, and needs no verdict.
  }
}

/** Lets the peer in. Answers what was read already; null where it went away instead. Never rejects. */
export async function letIn(stream: ByteStream, reader: ExactReader): Promise<Buffer | null> {
  try {
    await stream.write(encodeVerdict('admitted'))
    const heard = await reader.take(HEARD.length)
    return heard === null ? null : reader.rest
  } catch {
    return null
  }
}

async function takeProof(
  take: (bytes: number) => Promise<Buffer>,
  side: ProofSide,
  context: ProofContext,
): Promise<ProofOutcome> {
  const bytes = (await take(LENGTH_BYTES)).readUInt16LE()
  if (bytes > CERTIFICATES_BYTES_MAX) return { kind: 'unproven', why: `it shows ${bytes} bytes of certificates` }
  const certificates = Buffer.from(await take(bytes))
  return judgeProof(certificates, await take(SIGNATURE_BYTES), side, context)
}

async function judged(judge: Judge, peer: ShownPeer): Promise<Judgement> {
  return judge(peer).catch((error: unknown) => ({ kind: 'refused', verdict: 'failed', why: reasonOf(error) }))
}
