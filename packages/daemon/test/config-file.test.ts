import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { ConfigFile, keyInvalid, realSteps, StateDirectory, type ConfigFormat, type StateLock } from '../src/index.js'
import { tempDirectory } from './support/temp-directory.js'

interface Config {
  readonly name: string
  readonly sizes: readonly number[]
}

function validate(value: unknown): Config {
  const { name, sizes, ...rest } = value as Partial<Config>
  if (typeof name !== 'string') throw keyInvalid('name', 'is not a text')
  if (!Array.isArray(sizes)) throw keyInvalid('sizes', 'is not a list')
  for (const [index, size] of sizes.entries())
    if (typeof size !== 'number') throw keyInvalid(`sizes[${index}]`, 'is not a number')
  for (const key of Object.keys(rest)) throw keyInvalid(key, 'is not a key')
  return { name, sizes }
}

const format: ConfigFormat<Config> = { name: 'config.json', version: 3, versionMin: 2, validate }
const first: Config = { name: 'a', sizes: [1] }

interface Fixture {
  state: StateDirectory
  lock: StateLock
  path: string
}

async function fixture(t: TestContext): Promise<Fixture> {
  const directory = join(tempDirectory(t), 'state')
  await StateDirectory.initialise(directory, { program: 'sitelink' }, async () => {})
  const state = await StateDirectory.open(directory, { program: 'sitelink' })
  const lock = await state.lock('command')
  t.after(() => lock.release())
  return { state, lock, path: state.file('config.json') }
}

describe('a configuration file', () => {
  it('is readable JSON, the version first, with a newline at its end', async (t) => {
    const { state, lock, path } = await fixture(t)
    const config = await ConfigFile.create(state, lock, format, first)
    const text = '{\n  "version": 3,\n  "name": "a",\n  "sizes": [\n    1\n  ]\n}\n'
    assert.equal(readFileSync(path, 'utf8'), text)
    assert.equal(config.toText(), text)
  })

  it('holds what an update made, once it resolves, in file and memory', async (t) => {
    const { state, lock } = await fixture(t)
    const config = await ConfigFile.create(state, lock, format, first)
    const next = await config.update((current) => ({ ...current, sizes: [...current.sizes, 2] }))
    assert.deepEqual(next, { name: 'a', sizes: [1, 2] })
    assert.deepEqual((await ConfigFile.open(state, lock, format)).current, next)
  })

  it('loses no update of many at once, also if some of them fail', async (t) => {
    const { state, lock } = await fixture(t)
    const config = await ConfigFile.create(state, lock, format, first)
    const updates = Array.from({ length: 20 }, (_, n) =>
      config.update((current) => {
        if (n % 5 === 0) throw new Error('refused')
        return { ...current, sizes: [...current.sizes, n] }
      }),
    )
    const results = await Promise.allSettled(updates)
    assert.equal(results.filter(({ status }) => status === 'rejected').length, 4)
    const kept = Array.from({ length: 20 }, (_, n) => n).filter((n) => n % 5 !== 0)
    assert.deepEqual((await ConfigFile.open(state, lock, format)).current.sizes, [1, ...kept])
  })

  it('is unchanged by an update that the validator refuses, and names the key', async (t) => {
    const { state, lock, path } = await fixture(t)
    const config = await ConfigFile.create(state, lock, format, first)
    const before = readFileSync(path, 'utf8')
    const change = (current: Config): Config => ({ ...current, sizes: [1, 'two' as unknown as number] })
    await assert.rejects(config.update(change), {
      code: 'CONFIG_INVALID',
      message: `${path} is refused: sizes[1]: is not a number`,
    })
    assert.equal(readFileSync(path, 'utf8'), before)
    assert.deepEqual(config.current, first)
  })

  it('is unchanged by a full disk, in file and memory, and can be updated later', async (t) => {
    const { state, lock, path } = await fixture(t)
    let full = false
    const writeAndSync: typeof realSteps.writeAndSync = async (...args) => {
      if (full) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', errno: -28 })
      await realSteps.writeAndSync(...args)
    }
    const config = await ConfigFile.create(state, lock, { ...format, steps: { ...realSteps, writeAndSync } }, first)
    const before = readFileSync(path, 'utf8')
    full = true
    await assert.rejects(
      config.update((current) => ({ ...current, name: 'b' })),
      { code: 'STATE_WRITE_FAILED' },
    )
    assert.equal(readFileSync(path, 'utf8'), before)
    assert.deepEqual(config.current, first)
    full = false
    assert.equal((await config.update((current) => ({ ...current, name: 'c' }))).name, 'c')
  })

  it('is not written again after a write whose durability is not known', async (t) => {
    const { state, lock } = await fixture(t)
    let broken = false
    const syncDirectory = async (path: string): Promise<void> => {
      if (broken) throw Object.assign(new Error('EIO'), { code: 'EIO', errno: -5 })
      await realSteps.syncDirectory(path)
    }
    const config = await ConfigFile.create(state, lock, { ...format, steps: { ...realSteps, syncDirectory } }, first)
    broken = true
    await assert.rejects(
      config.update((current) => ({ ...current, name: 'b' })),
      { code: 'STATE_WRITE_UNCERTAIN' },
    )
    broken = false
    await assert.rejects(
      config.update((current) => ({ ...current, name: 'c' })),
      { code: 'STATE_WRITE_UNCERTAIN' },
    )
    assert.deepEqual(config.current, first)
  })

  it('that is not JSON is refused with line and column, and left as it is', async (t) => {
    const { state, lock, path } = await fixture(t)
    writeFileSync(path, '{\n  "version": 3,\n  "name": "a"\n  "sizes": []\n}\n')
    await assert.rejects(ConfigFile.open(state, lock, format), {
      code: 'CONFIG_SYNTAX',
      exit: 78,
      message: `${path} is not valid JSON: "," or "}" is expected at line 4, column 3`,
    })
    assert.match(readFileSync(path, 'utf8'), /"a"\n {2}"sizes"/)
  })

  it('of a newer release, below the floor, without a version, or with a wrong key is refused', async (t) => {
    const { state, lock, path } = await fixture(t)
    const refusedWith = async (content: unknown, code: string): Promise<void> => {
      writeFileSync(path, JSON.stringify(content))
      await assert.rejects(ConfigFile.open(state, lock, format), { code })
    }
    await refusedWith({ version: 4, ...first }, 'CONFIG_TOO_NEW')
    await refusedWith({ version: 1, ...first }, 'CONFIG_TOO_OLD')
    await refusedWith(first, 'CONFIG_INVALID')
    await refusedWith([], 'CONFIG_INVALID')
    await refusedWith({ version: 3, ...first, extra: 1 }, 'CONFIG_INVALID')
  })

  it('of an older version is migrated before it is checked', async (t) => {
    const { state, lock, path } = await fixture(t)
    writeFileSync(path, JSON.stringify({ version: 2, title: 'old', sizes: [] }))
    const migrate = ({ title, ...rest }: Readonly<Record<string, unknown>>): unknown => ({ ...rest, name: title })
    const config = await ConfigFile.open(state, lock, { ...format, migrate })
    assert.deepEqual(config.current, { name: 'old', sizes: [] })
  })

  it('is missing by name', async (t) => {
    const { state, lock } = await fixture(t)
    await assert.rejects(ConfigFile.open(state, lock, format), { code: 'CONFIG_MISSING' })
  })

  it('is exported and applied as a whole, and a bad text names its origin', async (t) => {
    const { state, lock } = await fixture(t)
    const config = await ConfigFile.create(state, lock, format, first)
    const text = config.toText().replace('"a"', '"z"')
    assert.equal((await config.applyText(text, 'given.json')).name, 'z')
    await assert.rejects(
      config.applyText(`${text}]`, 'given.json'),
      /^SitelinkError: given\.json is not valid JSON: nothing more is expected at line 8, column 1/,
    )
    assert.equal(config.current.name, 'z')
  })

  it('in memory cannot be changed by accident', async (t) => {
    const { state, lock } = await fixture(t)
    const config = await ConfigFile.create(state, lock, format, first)
    assert.throws(() => (config.current.sizes as number[]).push(2), TypeError)
  })

  it('is not written without the lock', async (t) => {
    const { state, lock } = await fixture(t)
    const config = await ConfigFile.create(state, lock, format, first)
    await lock.release()
    await assert.rejects(
      config.update((current) => current),
      /under the lock/,
    )
  })
})
