/** What the programs say of themselves: every verb, option and argument is explained, and every example could be typed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SitelinkCommand } from '@sitelink/daemon'
import { agentProgram } from '@sitelink/agent/testing'
import { sitelinkProgram } from '@sitelink/primary/testing'

type Made = typeof sitelinkProgram

/** The help of a command as it is printed, examples included. */
async function helpOf(make: Made, path: readonly string[]): Promise<string> {
  let text = ''
  const stream = { write: (piece: string) => ((text += piece), true), columns: 200 }
  const program = await make(path, { stdout: stream, stderr: stream, env: {} } as never)
  find(program, path).outputHelp()
  return text
}

function find(program: SitelinkCommand, path: readonly string[]): SitelinkCommand {
  return path.reduce((at, name) => {
    const found = at.commands.find((one) => one.name() === name)
    assert.ok(found !== undefined, `there is a verb ${path.join(' ')}`)
    return found as SitelinkCommand
  }, program)
}

/** Paths of all verbs that do something. */
function leaves(command: SitelinkCommand, path: readonly string[] = []): (readonly string[])[] {
  const children = command.commands.filter((one) => one.name() !== 'help')
  if (children.length === 0) return [path]
  return children.flatMap((one) => leaves(one as SitelinkCommand, [...path, one.name()]))
}

/** Why an example cannot be typed, or null. Words in quotes are one. */
function exampleProblem(program: SitelinkCommand, line: string): string | null {
  const words = [...line.matchAll(/"[^"]*"|'[^']*'|\S+/g)].map(([word]) => word).slice(1)
  let at = program
  const given = new Set<string>()
  const args: string[] = []
  while (words.length > 0) {
    const word = words.shift() as string
    if (!word.startsWith('-') || word === '-') {
      const child = at.commands.find((one) => one.name() === word)
      if (child !== undefined && args.length === 0) at = child as SitelinkCommand
      else args.push(word)
      continue
    }
    const [flag = '', inline] = word.split('=', 2)
    const option = [...at.options, ...program.options].find((one) => one.long === flag || one.short === flag)
    if (option === undefined) return `${flag} is no option of ${at.name()}`
    given.add(flag)
    if (option.required && inline === undefined && words.shift() === undefined) return `${flag} has no value`
    if (option.variadic) while (words.length > 0 && !(words[0] as string).startsWith('-')) words.shift()
  }
  const missing = at.options.find((one) => one.mandatory && !given.has(one.long ?? ''))
  if (missing !== undefined) return `${missing.long} is missing`
  const wanted = at.registeredArguments
  if (args.length < wanted.filter((one) => one.required).length) return 'an argument is missing'
  if (args.length > wanted.length && wanted.at(-1)?.variadic !== true) return `${args.at(-1)} is too much`
  return null
}

for (const [name, make] of [
  ['sitelink', sitelinkProgram],
  ['sitelink-agent', agentProgram as Made],
] as const) {
  test(`[MGT-13] every verb and option of ${name} explains itself, and its help has examples that could be typed`, async () => {
    const program = await make([])
    for (const path of leaves(program)) {
      const verb = `${name} ${path.join(' ')}`
      const command = find(program, path)
      assert.ok(command.description().length > 8, `${verb} says what it does`)
      for (const option of command.options) {
        assert.ok(option.description.length > 5, `${verb} ${option.flags} says what it is for`)
        assert.ok(option.long !== undefined, `${verb} ${option.flags} has a long name`)
        assert.ok(
          option.negate || /^(-\w, )?--[a-z-]+( [<[][a-z:|-]+(\.\.\.)?[>\]])?$/.test(option.flags),
          `${verb} ${option.flags} names its argument`,
        )
      }
      const [, text = ''] = (await helpOf(make, path)).split('Examples:')
      const lines = [...text.matchAll(/^ {2}\$ (.*)$/gm)].map(([, line = '']) => line)
      assert.ok(lines.length > 0, `${verb} has an example`)
      const own = lines.flatMap((line) => line.split(' | ')).filter((line) => line.startsWith(`${name} `))
      for (const line of own) assert.equal(exampleProblem(program, line), null, line)
    }
  })
}
