/**
 * One fixed example of every frame type and every control message. The golden vectors are these; change none of them
 * without a new wire version.
 */
import {
  encodeFrame,
  encodeMapPayload,
  encodeMessage,
  encodeResyncBeginPayload,
  encodeUnmapPayload,
  FrameFlag,
  FrameType,
  parseId64,
  type ControlMessage,
  type Frame,
  type FrameFields,
  type Id64,
} from '../../src/index.js'

const GROUP = '0f5d2a60-6f0e-4a53-9d0b-1c2d3e4f5061'
const LOG = '00112233445566ff'
const MAPPING = 'a1b2c3d4e5f60718'

/** One of each kind; numbers reach beyond 32 bits where they may. */
export const sampleMessages: { readonly [K in ControlMessage['kind']]: Extract<ControlMessage, { kind: K }> } = {
  hello: {
    kind: 'hello',
    wireVersion: 1,
    wireFloor: 1,
    group: GROUP,
    epoch: 3,
    slink: 1,
    session: '9f8e7d6c5b4a3921',
    logId: LOG,
    incarnations: [
      { number: 1, id: '0123456789abcdef', firstLsn: 1 },
      { number: 2, id: 'fedcba9876543210', firstLsn: 5_000_000_001 },
    ],
    head: [2, 5_000_000_100],
    durable: [2, 5_000_000_090],
    heartbeatMs: 500,
    detectMs: 3000,
    mappings: [
      {
        deviceId: 7,
        mappingId: MAPPING,
        number: 0,
        name: 'data',
        remote: 'data-copy',
        sizeBytes: 1_099_511_627_776,
        regionBytes: 1_048_576,
      },
    ],
  },
  welcome: {
    kind: 'welcome',
    wireVersion: 1,
    agent: '11111111-2222-4333-8444-555555555555',
    journal: '66778899aabbccdd',
    epoch: 3,
    replica: {
      logId: LOG,
      incarnationId: 'fedcba9876543210',
      end: [2, 5_000_000_080],
      endCrc: 0xdeadbeef,
      durable: [2, 5_000_000_070],
      applied: [2, 5_000_000_060],
      primaryDurable: [2, 5_000_000_085],
      stamp: [1, 4_999_999_000],
    },
    devices: [
      { name: 'data-copy', sizeBytes: 1_099_511_627_776, problem: null },
      { name: 'old', sizeBytes: 0, problem: 'the file is gone' },
    ],
    mappings: [{ deviceId: 7, mappingId: MAPPING, remote: 'data-copy' }],
    dirtyMaps: 1,
    allDirty: false,
  },
  'dirty-map': {
    kind: 'dirty-map',
    deviceId: 7,
    mappingId: MAPPING,
    regionBytes: 1_048_576,
    firstRegion: 64,
    regionCount: 12,
    bits: Buffer.from([0xa5, 0x0f]),
  },
  resume: { kind: 'resume', common: [2, 5_000_000_080], restart: null, heartbeatMs: 500, detectMs: 3000 },
  ready: { kind: 'ready', end: [2, 5_000_000_080], creditBytes: 4_194_304 },
  refuse: { kind: 'refuse', code: 'older-epoch', message: 'this agent is in epoch 4, the primary is still in epoch 3' },
  ack: {
    kind: 'ack',
    received: [2, 5_000_000_100, 25],
    durable: [2, 5_000_000_099, 24],
    applied: [2, 5_000_000_060, 0],
    dirtyRegions: 6,
    consistent: false,
    journalUsedBytes: 123_456,
    journalBytes: 1_073_741_824,
  },
  codecs: { kind: 'codecs', codecs: [2, 1] },
  credit: { kind: 'credit', bytes: 8_589_934_592 },
  durable: { kind: 'durable', point: [2, 5_000_000_100] },
  heartbeat: { kind: 'heartbeat', sentUs: 1_753_000_000_123_456, echoUs: 1_753_000_000_000_001, heldUs: 1500 },
  sync: { kind: 'sync' },
  verify: { kind: 'verify', id: 7, deviceId: 7, offset: 1_099_510_579_200, length: 1_048_576 },
  verified: { kind: 'verified', id: 7, digest: Buffer.alloc(32, 0xd1), problem: null },
  error: {
    kind: 'error',
    code: 'JOURNAL_FAILED',
    message: 'the journal cannot be synced: EIO – group stopped',
    fatal: true,
  },
  bye: { kind: 'bye', reason: 'the daemon stops' },
}

export const sampleMapPayload = {
  mappingId: MAPPING,
  number: 0,
  name: 'data',
  remote: 'data-copy',
  sizeBytes: 1_099_511_627_776,
  regionBytes: 1_048_576,
  clean: false,
}

export const sampleResyncBegin = {
  mappingId: MAPPING,
  regionBytes: 1_048_576,
  firstRegion: 0,
  regionCount: 20,
  bits: Buffer.from([0xff, 0x00, 0x08]),
}

const stream = {
  deviceId: 7,
  incarnation: 2,
  logId: parseId64(LOG) as Id64,
  wallUs: 1_753_000_000_123_456,
  durableLsn: 5_000_000_090,
}
const text = Buffer.from('sixteen bytes!!!')

function frame(fields: Omit<FrameFields, 'logId'>, payload: Buffer | null = null): Frame {
  return encodeFrame({ ...stream, ...fields }, payload)
}

/** The first three frames below, packed by brotli: bytes that every reader knows, whatever a packer makes of them later. */
const SAMPLE_PACKED_RAW_BYTES = 304
const SAMPLE_PACKED = Buffer.from(
  '8797000080aaaaaaea9fd40cdcec6a6e7037307507bbf8d5fce4273300bbb9815f0cdcc161035070003500bfd8c1d50ee697' +
    'db7274003fddfc74f08bfbe16ce057077035f5a897b13519cb9bc3c36105ab4b0600131cb80d3d4e91a8563faa72311742e1' +
    '023eb0fd0e2602b0f5b24847431ca05b4d43e8ad050270e4ec5446eb99c766a62c4b01f0b88e7f357bba85a631c7aed5ba89' +
    '0fe7561b29251372548b752677f2a3ff3cefcb308c59b42be66191d7c98b01b9ea76b49fb897df7e1471b0793461d4efffe5' +
    '3d',
  'hex',
)

/** One frame of every type of the stream. */
export const sampleFrames: Readonly<Record<Exclude<keyof typeof FrameType, 'control'>, Frame>> = {
  write: frame(
    {
      type: FrameType.write,
      flags: FrameFlag.fua | FrameFlag.flushBefore,
      lsn: 5_000_000_091,
      previousCrc: 0x12345678,
      offset: 1_099_510_579_200,
      length: 16,
    },
    text,
  ),
  zeroes: frame({
    type: FrameType.zeroes,
    lsn: 5_000_000_092,
    previousCrc: 0x9abcdef0,
    offset: 4096,
    length: 1_073_741_824,
  }),
  trim: frame({
    type: FrameType.trim,
    flags: FrameFlag.flushBefore,
    lsn: 5_000_000_093,
    previousCrc: 1,
    offset: 8192,
    length: 4096,
  }),
  marker: frame(
    { type: FrameType.marker, deviceId: 0, lsn: 5_000_000_094, previousCrc: 2 },
    Buffer.from('81a46e616d65a6626561636f6e', 'hex'),
  ),
  skip: frame({ type: FrameType.skip, deviceId: 0, lsn: 5_000_000_095, aux: 5_000_000_092 }),
  copy: frame(
    {
      type: FrameType.copy,
      flags: FrameFlag.lastOfRegion,
      lsn: 5_000_000_095,
      offset: 1_048_576,
      length: 16,
      aux: 5_000_000_100,
    },
    text,
  ),
  resyncBegin: frame(
    { type: FrameType.resyncBegin, lsn: 5_000_000_095, aux: 0 },
    encodeResyncBeginPayload(sampleResyncBegin),
  ),
  map: frame({ type: FrameType.map, lsn: 5_000_000_095 }, encodeMapPayload(sampleMapPayload)),
  unmap: frame({ type: FrameType.unmap, lsn: 5_000_000_095 }, encodeUnmapPayload({ mappingId: MAPPING })),
  copyZeroes: frame({
    type: FrameType.copyZeroes,
    flags: FrameFlag.lastOfRegion,
    lsn: 5_000_000_095,
    offset: 2_097_152,
    length: 1_048_576,
    aux: 5_000_000_100,
  }),
  packed: encodeFrame({ type: FrameType.packed, length: SAMPLE_PACKED_RAW_BYTES, aux: 1 }, SAMPLE_PACKED),
}

/** The bytes of a frame. */
export function bytesOfFrame(one: Frame): Buffer {
  return one.payload === null ? one.header : Buffer.concat([one.header, one.payload])
}

/** Name -> bytes of every golden vector. */
export function allSamples(): ReadonlyMap<string, Buffer> {
  const samples = new Map<string, Buffer>()
  for (const [name, one] of Object.entries(sampleFrames)) samples.set(`frame-${name}`, bytesOfFrame(one))
  for (const [name, one] of Object.entries(sampleMessages))
    samples.set(`control-${name}`, bytesOfFrame(encodeMessage(one)))
  return samples
}
