/**
 * The section of the primary in the operator's page of errors is what its registry says.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { withErrorSection } from '@sitelink/daemon'
import { primaryErrors } from '../src/errors.js'

test("the errors of the primary are what the operator's page says (UPDATE=1 writes it)", () => {
  const url = new URL('../../../../docs/operating/errors.md', import.meta.url)
  const page = readFileSync(url, 'utf8')
  const wanted = withErrorSection(page, primaryErrors)
  if (process.env['UPDATE'] === '1') writeFileSync(url, wanted)
  else assert.equal(page, wanted)
})
