import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseJson } from '../src/index.js'

const faults: readonly (readonly [string, string])[] = [
  ['', '1:1 it ends where a value is expected'],
  ['{"a":1', '1:7 it ends where "," or "}" is expected'],
  ['{"a":1,}', '1:8 a key in double quotes is expected'],
  ['{a:1}', '1:2 a key in double quotes is expected'],
  ['{"a" 1}', '1:6 ":" is expected'],
  ['[1,\n2,\n tru]', '3:2 a value is expected'],
  ['[01]', '1:3 "," or "]" is expected'],
  ['["a\nb"]', '1:2 a string that ends on this line and has valid escapes is expected'],
  ['{} x', '1:4 nothing more is expected'],
  ['[1 2]', '1:4 "," or "]" is expected'],
]

describe('the place where JSON goes wrong', () => {
  for (const [text, expected] of faults) {
    it(`is found in ${JSON.stringify(text)}`, () => {
      const result = parseJson(text)
      assert.equal(result.kind === 'invalid' && `${result.line}:${result.column} ${result.why}`, expected)
    })
  }

  it('is found in every cut of a valid text, at its end', () => {
    const text = '{"a": [1, -2.5e3, "x\\u0041\\n", true, null], "b": {}}'
    for (let length = 0; length < text.length; length += 1) {
      const result = parseJson(text.slice(0, length))
      assert.equal(result.kind, 'invalid', text.slice(0, length))
      assert.ok(result.kind === 'invalid' && result.column <= length + 1)
    }
    assert.deepEqual(parseJson(`\ufeff${text}`), { kind: 'value', value: JSON.parse(text) as unknown })
  })

  it('is found in text that nests too deep to follow', () => {
    assert.equal(parseJson('['.repeat(100_000)).kind, 'invalid')
  })
})
