/**
 * What was done, a sentence for each step of a change or for a message. Pure.
 */
import { reachedBy } from '../blockdev/address.js'
import type { Step } from '../admin/steps.js'
import type { Message } from './messages.js'
import { SECTOR_BYTES } from './units.js'

export function describeStep(step: Step): string {
  switch (step.kind) {
    case 'add-device':
      return `added device ${step.wish.number} "${step.wish.name}": ${step.wish.path}`
    case 'add-slink':
      return `added slink ${step.wish.number}: ${reachedBy(step.wish.addresses)}`
    case 'change-slink':
      return `changed slink ${step.slink}`
    case 'delete-slink':
      return `deleted slink ${step.slink}`
    case 'map':
      return `mapped device ${step.wish.device} to "${step.wish.remote}" of slink ${step.wish.slink}`
    case 'unmap':
      return `unmapped device ${step.device} from slink ${step.slink}`
  }
}

export function describeMessage(message: Message): string[] {
  switch (message.kind) {
    case 'change':
      return message.steps.map((step) => describeStep(step))
    case 'statistics':
      return [`${message.of} statistics: ${message.what}`]
    case 'resize':
      return [`resizing the log to ${message.sizeBytes / SECTOR_BYTES} sectors: see status`]
    default: {
      const { kind, device, all } = message
      const whom = device !== null ? `device ${device}` : all ? 'the group and all its devices' : 'the group'
      return [kind === 'suspend' ? `suspended ${whom}, until resumed or restarted` : `resumed ${whom}`]
    }
  }
}
