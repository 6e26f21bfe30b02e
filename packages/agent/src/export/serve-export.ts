/**
 * One frozen export on one Unix socket, for as long as somebody wants it.
 *
 * Owns the server and the export from the first event to the end, whoever ends it: the client that asked, the agent, or
 * the journal that fills. Invariant: when it returns, the applied point is free again and the socket is gone.
 */
import type { ExportDirectory, NbdServer } from '@sitelink/nbd'
import type { Agent } from '../agent.js'

export interface ServeExportOptions {
  readonly agent: Agent
  readonly request: { readonly name: string; readonly socket: string; readonly hold: boolean; readonly force: boolean }
  readonly signal: AbortSignal
  readonly newServer: (directory: ExportDirectory) => NbdServer
}

/** What the one event of the stream says: the export is open. */
export interface ExportOpened {
  readonly device: string
  readonly socket: string
  /** URI as libnbd and QEMU take it. */
  readonly uri: string
  readonly lsn: number
  readonly sizeBytes: number
  readonly consistent: boolean
}

/** Yields once when it is open; returns why it ended. */
export async function* serveExport({
  agent,
  request,
  signal,
  newServer,
}: ServeExportOptions): AsyncGenerator<ExportOpened, { readonly why: string }, void> {
  const { name, socket, hold, force } = request
  const opened = await agent.openExport({ name, hold, force })
  const directory: ExportDirectory = {
    list: () => [opened.export],
    find: (wanted) => (wanted === name || wanted === '' ? opened.export : null),
  }
  const server = newServer(directory)
  try {
    await server.listen({ path: socket })
    const { sizeBytes } = opened.export
    const uri = `nbd+unix:///${encodeURIComponent(name)}?socket=${encodeURI(socket)}`
    yield { device: name, socket, uri, lsn: opened.point.lsn, sizeBytes, consistent: opened.consistent }
    const gone = new Promise<string>((resolve) => {
      if (signal.aborted) resolve('it was given back')
      signal.addEventListener('abort', () => resolve('it was given back'), { once: true })
    })
    return { why: await Promise.race([opened.ended, gone]) }
  } finally {
    await opened.close('it was given back')
    await server.close()
  }
}
