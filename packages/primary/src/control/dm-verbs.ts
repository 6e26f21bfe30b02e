/**
 * dm's words at the control API of a running group: tables, messages and status. No logic of its own.
 */
import { packageVersion, type ControlServer } from '@sitelink/daemon'
import { takeSteps } from '../admin/take-steps.js'
import { bodyOf, flagOf, textOf, wordsOf } from '../admin/wishes.js'
import { stepsOfTable, messageOf } from '../dm/carry-out.js'
import { describeMessage, describeStep } from '../dm/describe.js'
import { beginResize } from '../dm/resize-message.js'
import type { Message } from '../dm/messages.js'
import { Statistics } from '../dm/statistics.js'
import { statusLines } from '../dm/status-lines.js'
import { mapped } from '../error-map.js'
import type { GroupAdmin } from '../group/group-admin.js'
import type { Group } from '../group/group.js'
import { refuseLinks } from '../trust/link-plan.js'
import type { Pins } from '../trust/pins.js'

/** What a table or message did, a sentence each. */
export interface Done {
  readonly done: readonly string[]
}

export function registerDmVerbs(server: ControlServer, group: Group, admin: GroupAdmin, pins: () => Pins): void {
  const statistics = new Statistics()
  const version = packageVersion(new URL('../../../package.json', import.meta.url))
  const mappingId = (): string => group.parts.random.bytes(8).toString('hex')
  const verb = (name: string, run: (body: unknown) => unknown): void => {
    server.verb(name, (body) => mapped(() => run(body)))
  }
  verb('status-dm', (body) => {
    bodyOf(body, [])
    return { lines: statusLines(group, statistics, version) }
  })
  verb('table-load', async (body): Promise<Done> => {
    const fields = bodyOf(body, ['text', 'directory', 'dryRun', 'insecurePlain'])
    const text = textOf(fields, 'text', Infinity)
    const directory = textOf(fields, 'directory')
    const { disks, stateFile, clock } = group.parts
    const around = { disks, stateFile, clock, mappingId }
    const insecurePlain = flagOf(fields, 'insecurePlain')
    const plan = async (): ReturnType<typeof stepsOfTable> => {
      const steps = await stepsOfTable(text, directory, group.config, around)
      refuseLinks(steps, group.config, pins(), insecurePlain)
      return steps
    }
    const dryRun = flagOf(fields, 'dryRun')
    const steps = dryRun ? await plan() : await admin.applyPlanned(plan)
    if (dryRun) await takeSteps(around, group.config, steps)
    return { done: steps.map((step) => describeStep(step)) }
  })
  verb('message', async (body): Promise<Done> => {
    const fields = bodyOf(body, ['target', 'words', 'directory', 'insecurePlain'])
    const directory = textOf(fields, 'directory')
    const target = textOf(fields, 'target')
    const message = messageOf(target, wordsOf(fields, 'words'), directory, group.config, mappingId)
    if (message.kind === 'change') refuseLinks(message.steps, group.config, pins(), flagOf(fields, 'insecurePlain'))
    await carryOut(group, admin, statistics, message)
    return { done: describeMessage(message) }
  })
}

async function carryOut(group: Group, admin: GroupAdmin, statistics: Statistics, message: Message): Promise<void> {
  switch (message.kind) {
    case 'change':
      return admin.apply(message.steps)
    case 'resize':
      return beginResize(message, (wish) => admin.resizeLog(wish))
    case 'statistics':
      return statistics.set(group, message.of, message.what)
    case 'suspend':
      await admin.suspend(message.device)
      if (message.all) for (const { number } of group.config.devices) await admin.suspend(number)
      return
    case 'resume':
      if (message.all) for (const { number } of group.config.devices) await admin.resume(number)
      return admin.resume(message.device)
  }
}
