/**
 * A reporter for node:test that writes one JSON line for each finished test, and for each diagnostic.
 *
 * Loaded into the process of a test file by scripts/test.mjs, which reads the lines. It judges nothing.
 */
export default async function* testEvents(source) {
  for await (const { type, data } of source) {
    if (type === 'test:pass' || type === 'test:fail') {
      yield `${JSON.stringify({
        kind: type === 'test:pass' ? 'pass' : 'fail',
        name: data.name,
        nesting: data.nesting,
        suite: data.details?.type === 'suite',
        skip: data.skip ?? null,
        todo: data.todo ?? null,
        ms: data.details?.duration_ms ?? 0,
        error: type === 'test:fail' ? describe(data.details?.error) : null,
      })}\n`
    } else if (type === 'test:diagnostic' && data.nesting > 0) {
      yield `${JSON.stringify({ kind: 'note', message: data.message })}\n`
    } else if (
      type === 'test:diagnostic' &&
      !/^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /.test(data.message)
    ) {
      yield `${JSON.stringify({ kind: 'note', message: data.message })}\n`
    }
  }
}

function describe(error) {
  const cause = error?.cause
  if (cause instanceof Error || (cause && typeof cause === 'object' && 'stack' in cause)) {
    const inner = cause.cause instanceof Error ? `\ncaused by ${cause.cause.stack}` : ''
    return `${cause.stack ?? cause.message}${inner}`
  }
  return String(cause ?? error?.stack ?? error?.message ?? error)
}
