#!/usr/bin/env node
/** Starts `sitelink`. The size of the I/O thread pool counts only if it is set before the first use of the pool. */
import { programFile } from '@sitelink/daemon/start'

process.env.UV_THREADPOOL_SIZE ??= '16'
await import(programFile('sitelink', new URL('../dist/src/cli/main.js', import.meta.url)).href)
