/**
 * The rules of `pnpm tidy`: what this repository wants of its files beyond what the compiler and the linter can say.
 *
 * Each rule is a name, a sentence that the offender reads, and a pure function from a tree to places. A tree answers
 * `paths` (relative, sorted) and `text(path)`; rules read nothing else, so that tests can hand them made-up trees.
 */
import { builtinModules } from 'node:module'
import { importsOf } from './imports.mjs'

const SRC_LINES_MAX = 400
const TEST_LINES_MAX = 600

const isSource = (path) => /^packages\/[^/]+\/(src|bin)\/.*\.(ts|js)$/.test(path)
const isTest = (path) => /^(packages\/[^/]+\/test|test)\/.*\.ts$/.test(path)
const isScript = (path) => /^(scripts|bench)\/.*\.(mjs|ts)$/.test(path)
const isCode = (path) => isSource(path) || isTest(path) || isScript(path)
/** The rules and their canaries have to spell out what they forbid. */
const isTidyItself = (path) => /^scripts\/(lib\/tidy-rules|tidy\.test)\.mjs$/.test(path)

/** Lines of texts that match, as `path:line: what matched`. */
function matches(tree, paths, pattern, { prepare = (text) => text } = {}) {
  const found = []
  for (const path of paths) {
    prepare(tree.text(path))
      .split('\n')
      .forEach((line, index) => {
        const match = pattern.exec(line)
        if (match) found.push(`${path}:${index + 1}: ${match[0].trim()}`)
      })
  }
  return found
}

/** The text with its comments blanked, line by line. */
function withoutComments(text) {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/[^\n]*/g, (comment) => comment.replace(/[^\n]/g, ' '))
}

const fileLength = {
  name: 'file-length',
  sentence: `A file has at most ${SRC_LINES_MAX} lines, a test ${TEST_LINES_MAX}; a longer one hides a missing noun.`,
  check: (tree) =>
    tree.paths.filter(isCode).flatMap((path) => {
      const lines = tree.text(path).split('\n').length - 1
      return lines > (isTest(path) ? TEST_LINES_MAX : SRC_LINES_MAX) ? [`${path}: ${lines} lines`] : []
    }),
}

const openingParagraph = {
  name: 'opening-paragraph',
  sentence: 'Every file opens with a paragraph in /** */: what it owns, what it never does, the invariant it keeps.',
  check: (tree) =>
    tree.paths.filter((path) => {
      if (!isSource(path) && !isScript(path) && !path.startsWith('test/support/')) return false
      const text = tree.text(path).replace(/^#![^\n]*\n/, '')
      return text.split('\n').length > 4 && !/^\/\*\*(?!\/)/.test(text)
    }),
}

const planLanguage = {
  name: 'plan-language',
  sentence: 'Code says what is, not what is planned: no phases, no promises, no numbers of issues.',
  check: (tree) =>
    matches(
      tree,
      tree.paths.filter((path) => (isCode(path) || path.endsWith('.md')) && !isTidyItself(path)),
      /\b[Pp]hase \d|\b[Mm]ilestone \d|\bTODO\b|\bFIXME\b|\bXXX\b|\b[Nn]ot (yet )?implemented\b|\b[Ii]ssues? #?\d|\(#\d+\)/,
    ),
}

const skippedTests = {
  name: 'skipped-tests',
  sentence:
    'No test is switched off or singled out. One that cannot run says why with t.skip(), which fails where nothing may be missing.',
  check: (tree) =>
    matches(
      tree,
      tree.paths.filter(isTest),
      /\b(it|test|describe|suite)\.(skip|only|todo)\b|\b(it|test|describe|suite)\(.*\{[^}]*\b((skip|todo): *(true|')|only:)|\.(skip|todo)\(\)/,
    ),
}

const leaks = {
  name: 'leaks',
  sentence:
    'Nothing that is committed names a folder of the machine that it was written on, or the host of a package registry.',
  check: (tree) =>
    tree.paths
      .filter((path) => path !== 'pnpm-lock.yaml')
      .flatMap((path) =>
        tree.private.filter((word) => tree.text(path).includes(word)).map((word) => `${path}: ${word}`),
      ),
}

const fileNames = {
  name: 'file-names',
  sentence: 'Files are named in kebab-case after the one thing that they hold.',
  check: (tree) =>
    tree.paths.filter((path) => {
      const name = path.split('/').at(-1)
      if (
        /^(README|CONTRIBUTING|ARCHITECTURE|GLOSSARY)\.md$/.test(name) ||
        !/^(packages|test|scripts|bench|docs)\/(?!vectors)/.test(path)
      )
        return false
      return !/^\.?[a-z0-9]+([-.][a-z0-9]+)*$/.test(name)
    }),
}

const exactVersions = {
  name: 'exact-versions',
  sentence: 'A dependency is declared with one exact version, or as workspace:*.',
  check: (tree) =>
    manifests(tree).flatMap(({ path, manifest }) =>
      ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies']
        .flatMap((kind) => Object.entries(manifest[kind] ?? {}))
        .filter(([, version]) => version !== 'workspace:*' && !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
        .map(([name, version]) => `${path}: ${name} ${version}`),
    ),
}

const undeclaredDependencies = {
  name: 'undeclared-dependencies',
  sentence: 'A package declares every package that it imports; tests may use the devDependencies of the root as well.',
  check: (tree) => {
    const shared = Object.keys(JSON.parse(tree.text('package.json')).devDependencies ?? {})
    return members(tree).flatMap(({ manifest, path, declared, uses }) =>
      uses
        .filter(
          ({ file, name }) =>
            name !== manifest.name && !declared.includes(name) && !(isTest(file) && shared.includes(name)),
        )
        .map(({ file, name }) => `${file}: imports ${name}, which ${path} does not declare`),
    )
  },
}

const unusedDependencies = {
  name: 'unused-dependencies',
  sentence: 'A package declares no package that it never imports.',
  check: (tree) =>
    members(tree).flatMap(({ path, declared, uses }) =>
      declared.filter((name) => !uses.some((use) => use.name === name)).map((name) => `${path}: ${name}`),
    ),
}

/** The packages of the workspace: what each declares, and which packages its files import. */
function members(tree) {
  return manifests(tree)
    .filter(({ path }) => path !== 'package.json')
    .map(({ path, manifest }) => {
      const folder = path.replace(/package\.json$/, '')
      const uses = tree.paths
        .filter((file) => file.startsWith(folder) && isCode(file))
        .flatMap((file) =>
          importsOf(tree.text(file))
            .filter(({ specifier }) => !/^(\.|node:)/.test(specifier) && !builtinModules.includes(specifier))
            .map(({ specifier }) => ({
              file,
              name: specifier
                .split('/')
                .slice(0, specifier.startsWith('@') ? 2 : 1)
                .join('/'),
            })),
        )
      const declared = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((kind) =>
        Object.keys(manifest[kind] ?? {}),
      )
      return { path, manifest, declared, uses }
    })
}

/** Packages with their light doors, which programs enter by where a verb only asks a daemon. */
function withLight(...names) {
  return names.flatMap((name) => [`@sitelink/${name}`, `@sitelink/${name}/light`])
}

/** The choice of what a program starts from, which its first file alone may make. */
const START = '@sitelink/daemon/start'

/** Rooms and what of ours each may import; the rest of the direction follows. */
const rooms = {
  protocol: [],
  storage: ['@sitelink/protocol/entry'],
  nbd: ['@sitelink/protocol/read-into'],
  daemon: ['type @sitelink/protocol/entry'],
  primary: ['@sitelink/protocol/entry', ...withLight('protocol', 'storage', 'nbd', 'daemon')],
  agent: ['@sitelink/protocol/entry', ...withLight('protocol', 'storage', 'nbd', 'daemon')],
}

const importDirection = {
  name: 'import-direction',
  sentence:
    'Imports follow the rooms: protocol imports nothing of ours, nbd only how sockets are read, storage only the entry frames, ' +
    'daemon only their types, ' +
    'primary and agent never each other; and a package is entered through its exports, never through its dist.',
  check: (tree) =>
    tree.paths.filter(isCode).flatMap((path) => {
      const room = /^packages\/([^/]+)\//.exec(path)?.[1]
      return importsOf(tree.text(path)).flatMap(({ specifier, typeOnly }) => {
        const place = `${path}: ${specifier}`
        const inside = /^\.\.?\//.test(specifier)
        const program = /^packages\/[^/]+\/bin\//.test(path)
        if (/\/dist\//.test(specifier) && !path.startsWith('scripts/') && !(program && inside)) return [place]
        if (program && specifier === START) return []
        if (inside) return room && leaves(path, specifier, `packages/${room}/`) ? [place] : []
        if (!specifier.startsWith('@sitelink/') || room === undefined || specifier === `@sitelink/${room}`) return []
        const allowed = rooms[room] ?? []
        // Tests of a room may also use the doubles of the rooms below it.
        const double = specifier.replace(/\/testing$/, '')
        if (double !== specifier && isTest(path) && allowed.some((each) => each.startsWith(double))) return []
        return allowed.includes(specifier) || (typeOnly && allowed.includes(`type ${specifier}`)) ? [] : [place]
      })
    }),
}

function leaves(path, specifier, folder) {
  return !new URL(specifier, `file:///${path}`).pathname.startsWith(`/${folder}`)
}

/** Doors: which source files may use a source of nondeterminism. */
const doors = [
  {
    what: 'files (node:fs)',
    pattern: /from '(node:)?fs(\/promises)?'/,
    allowed: [
      /^packages\/storage\/src\/(disk|device|native)\//,
      /^packages\/nbd\/src\/unix-socket\.ts$/,
      /^packages\/daemon\/src\//,
      /^packages\/(primary|agent)\/src\/(cli|state|config)[/-]/,
    ],
  },
  {
    what: 'sockets (node:net, node:tls, node:http, node:dgram)',
    pattern: /from '(node:)?(net|tls|http|https|http2|dgram)'/,
    allowed: [
      /^packages\/protocol\/src\/transport\//,
      /^packages\/nbd\/src\//,
      /^packages\/daemon\/src\//,
      /^packages\/storage\/src\/disk\/node-disk-lock\.ts$/,
    ],
  },
  {
    what: 'processes (node:child_process, node:cluster)',
    pattern: /from '(node:)?(child_process|cluster)'/,
    allowed: [/^packages\/daemon\/src\//, /^packages\/(primary|agent)\/src\/cli[/-]/],
  },
  {
    what: 'the clock (Date.now, new Date(), performance.now, hrtime, timers)',
    pattern:
      /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bhrtime\b|(?<![.\w])set(Timeout|Interval|Immediate)\(|from '(node:)?timers/,
    allowed: [
      /^packages\/daemon\/src\//,
      /^packages\/nbd\/src\/(server|client)\.ts$/,
      /^packages\/(primary|agent)\/src\/cli[/-]/,
      /^packages\/[^/]+\/src\/testing\//,
    ],
  },
  {
    what: 'randomness (Math.random, randomBytes, randomUUID)',
    pattern: /\bMath\.random\b|\brandom(Bytes|UUID|Int|FillSync)\b/,
    allowed: [
      /^packages\/daemon\/src\//,
      /^packages\/(primary|agent)\/src\/cli[/-]/,
      /^packages\/[^/]+\/src\/testing\//,
    ],
  },
]

const oneDoor = {
  name: 'one-door',
  sentence:
    'Files, sockets, processes, time and randomness are passed in; only the files that are their doors touch them.',
  check: (tree) =>
    doors.flatMap(({ what, pattern, allowed }) =>
      matches(
        tree,
        tree.paths.filter((path) => /^packages\/[^/]+\/src\//.test(path) && !allowed.some((door) => door.test(path))),
        pattern,
        { prepare: withoutComments },
      ).map((place) => `${place} - ${what}`),
    ),
}

const specIds = {
  name: 'spec-ids',
  sentence: 'A test name that starts with [XX-nn] names a row of docs/spec-rows.json.',
  check: (tree) => {
    const known = new Set(JSON.parse(tree.text('docs/spec-rows.json')).map((row) => row.id))
    return tree.paths.filter(isTest).flatMap((path) =>
      [...tree.text(path).matchAll(/['"`]((?:\[[A-Z]+-\d+\]\s*)+)/g)]
        .flatMap((match) => [...match[1].matchAll(/\[([A-Z]+-\d+)\]/g)].map((each) => each[1]))
        .filter((id) => !known.has(id))
        .map((id) => `${path}: ${id}`),
    )
  },
}

function manifests(tree) {
  return tree.paths
    .filter((path) => /(^|\/)package\.json$/.test(path))
    .map((path) => ({ path, manifest: JSON.parse(tree.text(path)) }))
}

/** All rules, in the order in which they are reported. */
export const rules = [
  fileLength,
  openingParagraph,
  planLanguage,
  skippedTests,
  leaks,
  fileNames,
  exactVersions,
  undeclaredDependencies,
  unusedDependencies,
  importDirection,
  oneDoor,
  specIds,
]
