/**
 * Changes the text of one compiled file while Node loads it; everything else passes as it is.
 *
 * Never lets a process run unchanged in silence: where the piece is not found exactly once the import fails, and the
 * report says why. Where the file is never loaded the report stays empty, and whoever gave the order sees that.
 */
import { appendFileSync } from 'node:fs'
import type { LoadHook } from 'node:module'
import { mutate, ORDER_VARIABLE, type Order } from './mutant.js'

const order = JSON.parse(process.env[ORDER_VARIABLE] ?? 'null') as Order | null

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context)
  if (order === null || url !== order.url) return loaded
  try {
    const source = mutate(textOf(loaded.source), order.changes)
    appendFileSync(order.report, 'applied\n')
    return { ...loaded, source }
  } catch (error) {
    appendFileSync(order.report, `${(error as Error).message}\n`)
    throw error
  }
}

function textOf(source: unknown): string {
  if (typeof source === 'string') return source
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) return Buffer.from(source as Uint8Array).toString()
  throw new Error('the file to change was loaded without its text')
}
