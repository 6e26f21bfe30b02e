/**
 * The identity of a state directory: one file for its owner alone, whose key is that of its certificate, and whose
 * rotations each vouch for the next.
 */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { chmodSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import {
  certificateFingerprint,
  IdentityFile,
  identityFormat,
  makeCertificate,
  parseConfig,
  readIdentity,
  StateDirectory,
} from '../src/index.js'
import { tempDirectory } from './support/temp-directory.js'

const OPTIONS = { program: 'sitelink' }

async function made(t: TestContext): Promise<StateDirectory> {
  const path = join(tempDirectory(t), 'state')
  return StateDirectory.initialise(path, OPTIONS, async (state, lock) => {
    await IdentityFile.create(state, lock)
    return state
  })
}

async function locked<T>(state: StateDirectory, run: (file: IdentityFile) => Promise<T>): Promise<T> {
  const lock = await state.lock('command')
  try {
    return await run(await IdentityFile.open(state, lock))
  } finally {
    await lock.release()
  }
}

test('a certificate says nothing but its key, and never ends', async () => {
  const { key, certificate } = await makeCertificate()
  const { subject, issuer, subjectAltName, validTo, ca } = new X509Certificate(certificate)
  const name = `CN=sitelink ${certificateFingerprint(certificate).slice(0, 32)}`
  assert.deepEqual([subject, issuer, subjectAltName, ca], [name, name, undefined, false])
  assert.match(validTo, /9999/)
  assert.match(key, /^-----BEGIN PRIVATE KEY-----/)
})

test('the file is its owner’s alone, and refused as soon as others can read it', async (t) => {
  const state = await made(t)
  const path = state.file(identityFormat.name)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  for (const mode of [0o640, 0o604]) {
    chmodSync(path, mode)
    await assert.rejects(readIdentity(state), { code: 'IDENTITY_EXPOSED' })
    await assert.rejects(
      locked(state, async () => {}),
      { code: 'IDENTITY_EXPOSED' },
    )
  }
})

test('each rotation is signed by the key before, which is gone', async (t) => {
  const state = await made(t)
  await locked(state, async (file) => {
    const before = file.current
    // Also where two are asked for at once.
    await Promise.all([file.rotate(), file.rotate()])
    const chain = file.current.certificates.match(/-----BEGIN[^]*?END CERTIFICATE-----\n/g) ?? []
    assert.equal(chain.length, 3)
    assert.equal(certificateFingerprint(chain[0] as string), file.current.fingerprint)
    assert.equal(certificateFingerprint(chain[2] as string), before.fingerprint)
    const read = chain.map((text) => new X509Certificate(text))
    for (const [at, certificate] of read.slice(0, 2).entries()) {
      const signer = read[at + 1] as X509Certificate
      assert.ok(certificate.verify(signer.publicKey))
      assert.ok(certificate.checkIssued(signer))
    }
    assert.equal(
      readFileSync(state.file(identityFormat.name), 'utf8').includes(before.key.split('\n')[1] as string),
      false,
    )
  })
  assert.equal((await readIdentity(state))?.fingerprint, await locked(state, async (file) => file.current.fingerprint))
})

test('certificates of more rotations than are kept are let go, oldest first', async (t) => {
  const state = await made(t)
  await locked(state, async (file) => {
    for (let count = 0; count < 20; count++) await file.rotate()
    assert.equal(file.current.certificates.match(/BEGIN/g)?.length, 16)
  })
})

test('a key that is not that of the certificate is refused by name', async () => {
  const [one, other] = [await makeCertificate(), await makeCertificate()]
  for (const bad of [
    { key: other.key, certificates: [one.certificate] },
    { key: 'no key', certificates: [one.certificate] },
    { key: one.key, certificates: [] },
    { key: one.key, certificates: ['no certificate'] },
    { key: one.key, certificates: [one.certificate], more: 1 },
  ])
    assert.throws(() => parseConfig('identity.json', identityFormat, JSON.stringify({ version: 1, ...bad })), {
      code: 'CONFIG_INVALID',
    })
})

test('a state directory of a release without identities gets one when it is opened', async (t) => {
  const path = join(tempDirectory(t), 'state')
  const state = await StateDirectory.initialise(path, OPTIONS, async (one) => one)
  assert.equal(await readIdentity(state), null)
  const fingerprint = await locked(state, async (file) => file.current.fingerprint)
  assert.equal((await readIdentity(state))?.fingerprint, fingerprint)
})
