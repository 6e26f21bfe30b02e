/**
 * The operating errors of a verify: rows of the primary's registry (errors.ts), which is their only reader.
 */
import { EXIT } from '@sitelink/daemon/light'

export const VERIFY_ERRORS = {
  VERIFY_UNREACHABLE: {
    kind: 'operating',
    retry: true,
    exit: EXIT.unavailable,
    text: 'slink {slink} is not connected, so nothing can be compared: {why}',
    hint: 'start its agent, then <prog> verify {slink}',
  },
  VERIFY_AGENT_OLD: {
    kind: 'operating',
    retry: false,
    exit: EXIT.unavailable,
    text: 'the agent of slink {slink} is of a release that cannot be asked for digests',
    hint: 'bring the agent to the release of the primary, then <prog> verify {slink}',
  },
  VERIFY_BLOCKDEV: {
    kind: 'operating',
    retry: false,
    exit: EXIT.unavailable,
    text: 'slink {slink} is of type blockdev, and only an agent can be asked for digests',
    hint: '<prog> resync {slink} --full copies everything instead',
  },
  VERIFY_BUSY: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'slink {slink} is being verified already',
    hint: null,
  },
  VERIFY_NOTHING: {
    kind: 'usage',
    retry: false,
    exit: EXIT.usage,
    text: 'there is nothing to verify at slink {slink}: {why}',
    hint: '<prog> device ls',
  },
  VERIFY_DIFFERENT: {
    kind: 'corruption',
    retry: false,
    exit: EXIT.data,
    text: 'slink {slink} differs from the local devices: {bytes} bytes lie in ranges that differ',
    hint: '<prog> verify {slink} --mark makes them dirty, so that they are copied',
    about:
      'The content of a device here and at the site was compared at one place of the order, and is not the same. Something has changed a device behind the back of Sitelink, at either side, or bytes rotted. Find out which side is right before `--mark`: what is marked is copied from the primary to the site.',
  },
  VERIFY_MARKED: {
    kind: 'corruption',
    retry: false,
    exit: EXIT.data,
    text: 'slink {slink} differed: {bytes} bytes lie in ranges that differ, and {regions} regions are copied because of that',
    hint: 'nothing: they are copied by themselves as soon as the site is connected (<prog> resync {slink} shows how far that is); then <prog> verify {slink}',
  },
  VERIFY_NOT_MARKED: {
    kind: 'corruption',
    retry: false,
    exit: EXIT.data,
    text: 'slink {slink} differs from the local devices: {bytes} bytes lie in ranges that differ, and that could not be marked: {why}',
    hint: 'mend that, then <prog> verify {slink} --mark',
  },
  VERIFY_STOPPED: {
    kind: 'operating',
    retry: true,
    exit: EXIT.unavailable,
    text: 'slink {slink} was lost before everything was compared, {done} of {total} bytes show no difference: {why}',
    hint: 'start its agent, then <prog> verify {slink}',
  },
  VERIFY_INCOMPLETE: {
    kind: 'operating',
    retry: true,
    exit: EXIT.tempFail,
    text: 'slink {slink} shows no difference, but not everything was compared: {leftOut} bytes are dirty or were written to all the time, {unreadable} could not be read',
    hint: '<prog> resync {slink}, then <prog> verify {slink}',
  },
} as const
