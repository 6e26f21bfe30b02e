/**
 * The native QUIC library: quinn, through the native part of `@chainsafe/libp2p-quic`.
 *
 * Owns how it is found and what of it is used. It is optional: one package for each system, of one exact version, because
 * its interface is documented nowhere. The one of the most common system is declared; others are installed by hand. Loaded on first use; where it is missing, `QUIC_UNAVAILABLE` names the package.
 */
import { createRequire } from 'node:module'
import { ProtocolError, reasonOf } from '../errors.js'

export interface QuicConfig {
  /** Protobuf of libp2p around an Ed25519 key: see {@link privateKeyProto} in quic-key.ts. */
  readonly privateKeyProto: Uint8Array
  readonly handshakeTimeout: number
  readonly maxIdleTimeout: number
  readonly keepAliveInterval: number
  readonly maxConcurrentStreamLimit: number
  readonly maxStreamData: number
  readonly maxConnectionData: number
  readonly receiveBufferSize: number
  readonly sendBufferSize: number
}

export interface QuicStream {
  read(bytesMax: number): Promise<Uint8Array | null>
  write(bytes: Uint8Array): Promise<void>
  finishWrite(): Promise<void>
}

export interface QuicConnection {
  abort(): void
  inboundStream(): Promise<QuicStream>
  outboundStream(): Promise<QuicStream>
  /** `/ip4/127.0.0.1/udp/7373/quic-v1/p2p/<peer id>`. */
  remoteMultiaddr(): string
}

export interface QuicServer {
  port(): number
  inboundConnection(): Promise<QuicConnection>
  /** Ends every connection as well. */
  abort(): Promise<void>
}

export interface QuicClient {
  outboundConnection(ip: string, port: number): Promise<QuicConnection>
  /** Ends every connection as well. */
  abort(): void
}

/** The classes of the library. */
export interface QuicNative {
  readonly QuinnConfig: new (config: QuicConfig) => object
  readonly Server: new (config: object, ip: string, port: number) => QuicServer
  /** `family`: 0 for IPv4, 1 for IPv6. */
  readonly Client: new (config: object, family: 0 | 1) => QuicClient
}

const requireNative = createRequire(import.meta.url)

const VERSION = '2.1.1'

/** The last part of the name of the package, by system; of two, the one that fits the C library loads. */
const SYSTEMS: Readonly<Record<string, readonly string[]>> = {
  'linux x64': ['linux-x64-gnu', 'linux-x64-musl'],
  'linux arm64': ['linux-arm64-gnu', 'linux-arm64-musl'],
  'darwin x64': ['darwin-x64'],
  'darwin arm64': ['darwin-arm64'],
  'win32 x64': ['win32-x64-msvc'],
}

/** The one package that this one declares is named in full, so that both are seen to belong together. */
function load(name: string): unknown {
  return name === 'linux-x64-gnu'
    ? requireNative('@chainsafe/libp2p-quic-linux-x64-gnu')
    : requireNative(`@chainsafe/libp2p-quic-${name}`)
}

let loaded: QuicNative | null = null

/** The library, loaded once. Throws `QUIC_UNAVAILABLE` for `address`, which needs it. */
export function loadQuic(address: string, system = `${process.platform} ${process.arch}`): QuicNative {
  if (loaded !== null && system === `${process.platform} ${process.arch}`) return loaded
  const names = SYSTEMS[system] ?? []
  let why = `there is none for ${system}`
  let missed = ''
  for (const name of names) {
    try {
      return (loaded = load(name) as QuicNative)
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND'
      if (missing && missed !== '') continue
      missed = `-${name}@${VERSION}`
      why = missing ? 'it is not installed' : `it does not load: ${reasonOf(error).split('\n')[0]}`
    }
  }
  throw new ProtocolError('QUIC_UNAVAILABLE', { address, package: `@chainsafe/libp2p-quic${missed}`, why })
}

/** Whether `quic://` can be had in this process; else why not, as a sentence. */
export function quicProblem(): string | null {
  try {
    loadQuic('quic://')
    return null
  } catch (error) {
    return reasonOf(error)
  }
}
