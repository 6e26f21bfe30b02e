/** Capsules of WebTransport over HTTP/2, as a peer that is no library writes them. */

export const CapsuleType = { data: 0x190b4d3b, credit: 0x190b4d3d, streamCredit: 0x190b4d3e, close: 0x2843 } as const

export function varint(value: number): Buffer {
  if (value < 64) return Buffer.of(value)
  const bytes = Buffer.alloc(value < 2 ** 14 ? 2 : value < 2 ** 30 ? 4 : 8)
  if (bytes.length === 8) bytes.writeBigUInt64BE(BigInt(value))
  else bytes.writeUIntBE(value, 0, bytes.length)
  bytes[0] = (bytes[0] as number) | ({ 2: 0x40, 4: 0x80, 8: 0xc0 }[bytes.length] as number)
  return bytes
}

export function capsule(type: number, value: Buffer): Buffer {
  return Buffer.concat([varint(type), varint(value.length), value])
}

/** Data on the one stream. */
export function streamData(data: Buffer, stream = 1): Buffer {
  return capsule(CapsuleType.data, Buffer.concat([varint(stream), data]))
}

export function closing(words: string): Buffer {
  return capsule(CapsuleType.close, Buffer.concat([Buffer.alloc(4), Buffer.from(words)]))
}
