/** What the harness itself asks of an export over NBD: whether it is there, and to flush. */
import { compiled } from '../lib/compiled.mjs'

async function connect(address, name) {
  const { NbdClient } = await compiled()
  return NbdClient.connect(address, { export: name })
}

/** Whether the export answers. */
export async function canConnect(address, name) {
  try {
    await (await connect(address, name)).disconnect()
    return true
  } catch {
    return false
  }
}

/** Makes everything that was written stable, as the server understands it. */
export async function flush(address, name) {
  const client = await connect(address, name)
  try {
    await client.flush()
  } finally {
    await client.disconnect()
  }
}
