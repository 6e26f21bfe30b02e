/**
 * The version of the product and of what it writes and speaks.
 *
 * The product's version stands in a package.json and nowhere else; formats and protocols are told by their owners.
 */
import { readFileSync } from 'node:fs'

/** A format or protocol with the versions that this release reads: `floor` to `version`. */
export interface FormatVersion {
  readonly name: string
  readonly version: number
  readonly floor: number
}

export interface VersionInfo {
  readonly product: string
  readonly formats: readonly FormatVersion[]
}

/** Version in the package.json at `url`, as `new URL('../../package.json', import.meta.url)`. Throws where there is none. */
export function packageVersion(url: URL): string {
  const { version } = JSON.parse(readFileSync(url, 'utf8')) as { version?: unknown }
  if (typeof version !== 'string') throw new Error(`no version in ${url.pathname}`)
  return version
}

/** Text of `--version`: the program and its version, then a line for each format. */
export function versionText(program: string, { product, formats }: VersionInfo): string {
  const lines = formats.map(
    ({ name, version, floor }) => `${name} ${version}${floor === version ? '' : ` (reads ${floor} to ${version})`}`,
  )
  return [`${program} ${product}`, ...lines].join('\n')
}
