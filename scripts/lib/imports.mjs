/**
 * What a module imports, found in its text.
 *
 * Knows static imports and re-exports, `import()`, `require()` and `require.resolve()` with a literal, and whether an
 * import leaves a trace at run time (`typeOnly`). It parses no JavaScript: a specifier in a comment is not looked for
 * because comments are cut first, and one in a string of test data would count.
 */
const forms = [
  /(?:^|[;\n])\s*(?:import|export)\s+(?<type>type\s)?(?:[\w*{][^'";]*?\bfrom\s*)?['"](?<specifier>[^'"\n]+)['"]/g,
  /\bimport\(\s*['"](?<specifier>[^'"\n]+)['"]/g,
  /\brequire(?:\.resolve|[A-Z]\w*)?\(\s*['"](?<specifier>[^'"\n]+)['"]/g,
  /\bcreateRequire\([^)]*\)\(\s*['"](?<specifier>[^'"\n]+)['"]/g,
]

/** All imports of a module as `{ specifier, typeOnly }`. */
export function importsOf(text) {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/[^\n]*/g, '$1')
  return forms.flatMap((form) =>
    [...code.matchAll(form)].map(({ groups }) => ({ specifier: groups.specifier, typeOnly: Boolean(groups.type) })),
  )
}
