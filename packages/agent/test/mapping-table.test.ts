/** Which device is which, over the restarts that fall between a frame of the journal and what it asked for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FaultDiskProvider, Prng, seedFromEnv } from '@sitelink/storage/testing'
import { MappingTable } from '../src/replica/mapping-table.js'
import { ReplicaFile } from '../src/replica/replica-file.js'
import { freshReplica, type ReplicaMapping } from '../src/replica/replica-state.js'

const prng = new Prng(seedFromEnv('mapping table'))

const row = (mappingId: string, sinceLsn = 1): ReplicaMapping => ({
  deviceId: 1,
  mappingId,
  number: 0,
  name: 'data',
  remote: 'data',
  path: '/dev/data',
  sizeBytes: 1 << 20,
  regionBytes: 1 << 20,
  sinceLsn,
})

async function fileWith(...mappings: ReplicaMapping[]): Promise<ReplicaFile> {
  const disks = new FaultDiskProvider({ prng })
  const random = { bytes: (count: number) => prng.bytes(count) }
  return ReplicaFile.create('/state/replica.json', disks, { ...freshReplica(random), mappings })
}

test('an unmap that a restart finds again, with its row gone already, ends nothing of the mapping that follows', async () => {
  const next = row('bbbb')
  const table = new MappingTable(await fileWith(next), new Set(['bbbb']), [{ mappingId: 'aaaa', lsn: 9 }])
  assert.equal(table.streamRow(1), next, 'the stream may touch the device')
  assert.equal(table.appliedRow(1), null, 'what is applied up to the map is of the one that is gone')
  assert.equal(table.unmapApplied('aaaa'), null)
  assert.deepEqual(table.rows, [next])
  assert.equal(table.mapPassed('bbbb'), next)
  assert.equal(table.appliedRow(1), next)
})

test('of two mappings of a device the older is in force for what is applied, the newer for the stream, until the unmap', async () => {
  const [old, next] = [row('aaaa'), row('bbbb', 9)]
  const table = new MappingTable(await fileWith(old, next), new Set(['bbbb']), [{ mappingId: 'aaaa', lsn: 9 }])
  assert.equal(table.streamRow(1), next)
  assert.equal(table.appliedRow(1), old)
  assert.deepEqual([table.isUnmapping(old), table.isUnmapping(next)], [true, false])
  assert.deepEqual(table.toAttach(), [old])
  assert.equal(table.unmapApplied('aaaa'), old)
  await table.forget(old)
  assert.deepEqual(table.rows, [next])
})

test('a cut in front of both takes the newer away and gives the older back', async () => {
  const [old, next] = [row('aaaa'), row('bbbb', 9)]
  const table = new MappingTable(await fileWith(old, next), new Set(['bbbb']), [{ mappingId: 'aaaa', lsn: 9 }])
  assert.deepEqual(await table.cut(8), [next])
  assert.equal(table.streamRow(1), old)
})
