/** The handshake: every pair of state and event, every refusal with its sentence, and both halves against each other. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  agentTransitions,
  eventName,
  planResume,
  primaryTransitions,
  refuseCodes,
  stepAgent,
  stepPrimary,
  WIRE_VERSION,
  type AgentFacts,
  type AgentHandshake,
  type AgentHandshakeEffect,
  type AgentHandshakeEvent,
  type AgentStanding,
  type ControlMessage,
  type DirtyMap,
  type Hello,
  type PrimaryHandshake,
  type PrimaryHandshakeEffect,
  type PrimaryHandshakeEvent,
  type Ready,
  type RefuseCode,
  type Resume,
  type Welcome,
} from '../../src/index.js'
import { sampleMessages } from '../support/samples.js'

const { hello, resume, ready } = sampleMessages
const dirtyMap: DirtyMap = sampleMessages['dirty-map']
const welcome: Welcome = sampleMessages.welcome
const standing: AgentStanding = { replica: welcome.replica, mappings: welcome.mappings, dirtyMaps: 1, allDirty: false }

const facts: AgentFacts = {
  agent: welcome.agent,
  journal: welcome.journal,
  group: hello.group,
  slink: hello.slink,
  epoch: hello.epoch,
  promoted: false,
  busy: null,
  devices: welcome.devices,
}

const primaryStates: { readonly [K in PrimaryHandshake['kind']]: Extract<PrimaryHandshake, { kind: K }> } = {
  start: { kind: 'start' },
  'awaiting-welcome': { kind: 'awaiting-welcome' },
  'awaiting-dirty-maps': { kind: 'awaiting-dirty-maps', welcome, left: 1 },
  planning: { kind: 'planning', welcome },
  'awaiting-ready': { kind: 'awaiting-ready', welcome, resume },
  established: { kind: 'established', wireVersion: 1 },
}
const agentStates: { readonly [K in AgentHandshake['kind']]: Extract<AgentHandshake, { kind: K }> } = {
  'awaiting-hello': { kind: 'awaiting-hello' },
  fencing: { kind: 'fencing', hello, wireVersion: 1 },
  'awaiting-resume': { kind: 'awaiting-resume', hello, welcome },
  cutting: { kind: 'cutting', hello, welcome, resume },
  established: { kind: 'established', wireVersion: 1 },
}
const messages: readonly { kind: 'message'; message: ControlMessage }[] = Object.values(sampleMessages).map(
  (message) => ({ kind: 'message', message }),
)
const cannot = { kind: 'cannot', code: 'failed', message: 'the disk failed' } as const
const primaryEvents: readonly PrimaryHandshakeEvent[] = [
  { kind: 'start' },
  { kind: 'planned', resume },
  cannot,
  ...messages,
]
const agentEvents: readonly AgentHandshakeEvent[] = [
  { kind: 'fenced', standing },
  { kind: 'cut', creditBytes: 5 },
  cannot,
  ...messages,
]

test('[primary] every pair of state and event does what its table says, and without a row it is refused', () => {
  pairs(
    primaryTransitions,
    Object.values(primaryStates),
    primaryEvents,
    (state, event) => stepPrimary(state, event, hello),
    'agent',
  )
})

test('[agent] every pair of state and event does what its table says, and without a row it is refused', () => {
  pairs(
    agentTransitions,
    Object.values(agentStates),
    agentEvents,
    (state, event) => stepAgent(state, event, facts),
    'primary',
  )
})

function pairs<S extends { kind: string }, E extends PrimaryHandshakeEvent | AgentHandshakeEvent>(
  table: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>,
  states: readonly S[],
  events: readonly E[],
  step: (state: S, event: E) => ReturnType<typeof stepPrimary> | ReturnType<typeof stepAgent>,
  peer: string,
): void {
  let rows = 0
  for (const state of states) {
    for (const event of events) {
      const allowed = table[state.kind]?.[eventName(event)]
      const done = step(state, event)
      const what = `${state.kind} x ${eventName(event)}`
      if (allowed === undefined) {
        assert.ok(done.kind === 'refused' && done.by === 'us' && done.code === 'protocol', what)
        assert.match(done.message, new RegExp(`(the ${peer} sent|happened)`), what)
      } else {
        rows += 1
        assert.ok(
          allowed.includes(done.kind === 'refused' ? 'refused' : done.state.kind),
          `${what}: ${JSON.stringify(done)}`,
        )
      }
    }
  }
  assert.equal(rows, Object.values(table).flatMap((row) => Object.keys(row)).length, 'every row was driven')
}

function refusedPrimary(state: PrimaryHandshake, message: ControlMessage, code: RefuseCode, why: RegExp): void {
  const step = stepPrimary(state, { kind: 'message', message }, hello)
  assert.ok(step.kind === 'refused', 'refused')
  assert.equal(step.code, code)
  assert.match(step.message, why)
}

function refusedAgent(
  message: Hello | Resume,
  change: Partial<AgentFacts>,
  code: RefuseCode,
  why: RegExp,
  state: AgentHandshake = agentStates['awaiting-hello'],
): void {
  const step = stepAgent(state, { kind: 'message', message }, { ...facts, ...change })
  assert.ok(step.kind === 'refused', `not refused: ${JSON.stringify(step)}`)
  assert.equal(step.code, code)
  assert.match(step.message, why)
  assert.doesNotMatch(step.message, /[\n.]$/, 'one sentence without a full stop')
}

test('an agent refuses a wire, a group, an epoch, a slink that is not its own, each with its sentence', () => {
  const newer = { ...hello, wireVersion: WIRE_VERSION + 3, wireFloor: WIRE_VERSION + 1 }
  refusedAgent(newer, {}, 'wire-version', /speaks wire versions 5 to 7, this agent 1 to 4: upgrade the agent/)
  refusedAgent(
    { ...hello, group: '00000000-0000-4000-8000-000000000000' },
    {},
    'wrong-group',
    /replicates the group 0f5d.*, not 0000/,
  )
  refusedAgent(
    hello,
    { epoch: 4 },
    'older-epoch',
    /epoch 4, the primary is still in epoch 3: another primary took over/,
  )
  refusedAgent(hello, { slink: 2 }, 'wrong-slink', /is slink 2 of the group, not slink 1/)
  refusedAgent(hello, { promoted: true }, 'promoted', /was promoted and serves writes in epoch 3: demote it first/)
  refusedAgent(hello, { busy: 'a verify runs' }, 'busy', /takes no session now: a verify runs/)
})

test('an agent refuses devices that it lacks, cannot use, uses twice or has too small, naming both sizes', () => {
  const mapping = hello.mappings[0]!
  refusedAgent(
    hello,
    { devices: [] },
    'device-missing',
    /device 0 "data" is mapped to "data-copy", which this agent does not have; it has none/,
  )
  refusedAgent(hello, { devices: [{ name: 'x', sizeBytes: 1, problem: null }] }, 'device-missing', /it has "x"/)
  refusedAgent(
    hello,
    { devices: [{ name: 'data-copy', sizeBytes: 2 ** 50, problem: 'the file is gone' }] },
    'device-missing',
    /cannot be used: the file is gone/,
  )
  refusedAgent(
    { ...hello, mappings: [mapping, { ...mapping, deviceId: 8, number: 1, name: 'more' }] },
    {},
    'device-missing',
    /two devices are mapped to "data-copy"; the second is 1 "more"/,
  )
  refusedAgent(
    hello,
    { devices: [{ name: 'data-copy', sizeBytes: 4096, problem: null }] },
    'device-size',
    /device 0 "data" has 1099511627776 bytes, the agent's "data-copy" only 4096/,
  )
  const larger = stepAgent(
    { kind: 'awaiting-hello' },
    { kind: 'message', message: hello },
    { ...facts, devices: [{ name: 'data-copy', sizeBytes: 2 ** 50, problem: null }] },
  )
  assert.equal(larger.kind, 'next', 'a larger device is fine')
})

test('an agent adopts group, slink and a newer epoch before it fences, and nothing that it has already', () => {
  const effectsOf = (change: Partial<AgentFacts>): readonly AgentHandshakeEffect[] => {
    const step = stepAgent({ kind: 'awaiting-hello' }, { kind: 'message', message: hello }, { ...facts, ...change })
    assert.ok(step.kind === 'next')
    return step.effects
  }
  const adopt = { kind: 'adopt', group: hello.group, slink: 1, epoch: 3 } as const
  assert.deepEqual(effectsOf({}), [{ kind: 'fence' }])
  assert.deepEqual(effectsOf({ epoch: 2 }), [adopt, { kind: 'fence' }])
  assert.deepEqual(effectsOf({ group: null, slink: null, epoch: 0 }), [adopt, { kind: 'fence' }])
})

test('a refused hello fences nobody: the session that lives goes on', () => {
  const step = stepAgent({ kind: 'awaiting-hello' }, { kind: 'message', message: { ...hello, epoch: 2 } }, facts)
  assert.equal(step.kind, 'refused')
  assert.ok(!('effects' in step))
})

test('an agent refuses to resume beyond its end or below what it applied', () => {
  const state = agentStates['awaiting-resume']
  refusedAgent(
    { ...resume, common: [2, 5_000_000_081] },
    {},
    'protocol',
    /resumes at 2:5000000081, this agent has only 2:5000000080/,
    state,
  )
  refusedAgent({ ...resume, common: [2, 5_000_000_059] }, {}, 'protocol', /has applied 2:5000000060 already/, state)
  const empty: AgentHandshake = { ...state, welcome: { ...welcome, replica: null } }
  refusedAgent(resume, {}, 'protocol', /this agent has nothing/, empty)
  const fresh = stepAgent(empty, { kind: 'message', message: { ...resume, common: [0, 0] } }, facts)
  assert.ok(fresh.kind === 'next' && fresh.effects[0]?.kind === 'cut')
})

test('a restart makes the agent start over, wherever it stands', () => {
  const restart: Resume = { ...resume, common: [0, 0], restart: 'another journal' }
  const step = stepAgent(agentStates['awaiting-resume'], { kind: 'message', message: restart }, facts)
  assert.ok(step.kind === 'next')
  assert.deepEqual(step.effects, [{ kind: 'start-over', reason: 'another journal', hello }])
})

test('a primary refuses a version that it did not offer, another epoch, devices that changed, a readiness elsewhere', () => {
  const waiting = primaryStates['awaiting-welcome']
  refusedPrimary(waiting, { ...welcome, wireVersion: 2 }, 'wire-version', /chose wire version 2, offered were 1/)
  refusedPrimary(waiting, { ...welcome, epoch: 4 }, 'older-epoch', /agent is in epoch 4, this primary in epoch 3/)
  refusedPrimary(waiting, { ...welcome, epoch: 2 }, 'protocol', /epoch 2/)
  refusedPrimary(waiting, { ...welcome, devices: [] }, 'device-missing', /does not have/)
  refusedPrimary(
    primaryStates['awaiting-dirty-maps'],
    { ...dirtyMap, deviceId: 9 },
    'protocol',
    /device id 9, which its welcome does not map/,
  )
  refusedPrimary(
    primaryStates['awaiting-ready'],
    { ...ready, end: [2, 1] },
    'protocol',
    /ready at 2:1, it was told to resume at 2:5000000080/,
  )
})

test('a refusal of the peer is its own, with its code and sentence', () => {
  const step = stepPrimary(
    primaryStates['awaiting-welcome'],
    { kind: 'message', message: sampleMessages.refuse },
    hello,
  )
  assert.deepEqual(step, { kind: 'refused', by: 'peer', code: 'older-epoch', message: sampleMessages.refuse.message })
})

test('every refuse code but the owners’ own is given by some rule', () => {
  const source = ['handshake', 'handshake-agent', 'handshake-primary']
    .map((name) =>
      readFileSync(join(dirname(fileURLToPath(import.meta.url)), `../../../src/session/${name}.ts`), 'utf8'),
    )
    .join('')
  for (const code of refuseCodes) if (code !== 'failed') assert.ok(source.includes(`'${code}'`), code)
})

/** Runs both halves against each other; each effect's outcome comes at once. */
function converse(agentFacts: AgentFacts, agentStanding: AgentStanding): { transcript: string[]; established: number } {
  const transcript: string[] = []
  let established = 0
  let primary: PrimaryHandshake = { kind: 'start' }
  let agent: AgentHandshake = { kind: 'awaiting-hello' }
  const toPrimary = (event: PrimaryHandshakeEvent): void => {
    const step = stepPrimary(primary, event, hello)
    if (step.kind === 'refused') return void transcript.push(`primary refused by ${step.by}: ${step.code}`)
    primary = step.state
    for (const effect of step.effects) onPrimary(effect)
  }
  const toAgent = (event: AgentHandshakeEvent): void => {
    const step = stepAgent(agent, event, agentFacts)
    if (step.kind === 'refused') {
      transcript.push(`agent refuses: ${step.code}`)
      return toPrimary({ kind: 'message', message: { kind: 'refuse', code: step.code, message: step.message } })
    }
    agent = step.state
    for (const effect of step.effects) onAgent(effect)
  }
  const onPrimary = (effect: PrimaryHandshakeEffect): void => {
    transcript.push(`primary ${effect.kind}${effect.kind === 'send' ? ` ${effect.message.kind}` : ''}`)
    if (effect.kind === 'send') toAgent({ kind: 'message', message: effect.message })
    if (effect.kind === 'established') established += 1
    if (effect.kind === 'plan') {
      const plan = planResume(
        {
          logId: hello.logId,
          incarnations: hello.incarnations,
          head: { incarnation: hello.head[0], lsn: hello.head[1] },
          firstLsn: 1,
          recorded: null,
          start: { incarnation: 1, lsn: 1 },
          answered: false,
          behind: false,
          commonCrc: null,
        },
        effect.welcome,
      )
      toPrimary({
        kind: 'planned',
        resume: { ...resume, common: [plan.common.incarnation, plan.common.lsn], restart: plan.restart },
      })
    }
  }
  const onAgent = (effect: AgentHandshakeEffect): void => {
    transcript.push(`agent ${effect.kind}${effect.kind === 'send' ? ` ${effect.message.kind}` : ''}`)
    if (effect.kind === 'fence') toAgent({ kind: 'fenced', standing: agentStanding })
    if (effect.kind === 'send' && effect.message.kind === 'welcome')
      toPrimary({ kind: 'message', message: effect.message })
    if (effect.kind === 'send' && effect.message.kind === 'ready')
      toPrimary({ kind: 'message', message: effect.message satisfies Ready })
    if (effect.kind === 'send-dirty-maps')
      for (let left = effect.count; left > 0; left--) toPrimary({ kind: 'message', message: dirtyMap })
    if (effect.kind === 'cut' || effect.kind === 'start-over') toAgent({ kind: 'cut', creditBytes: 4096 })
    if (effect.kind === 'established') established += 1
  }
  toPrimary({ kind: 'start' })
  return { transcript, established }
}

test('a whole handshake runs in the order of the picture', () => {
  const { transcript, established } = converse({ ...facts, epoch: 2 }, { ...standing, dirtyMaps: 2 })
  assert.deepEqual(transcript, [
    'primary send hello',
    'agent adopt',
    'agent fence',
    'agent send welcome',
    'agent send-dirty-maps',
    'primary take-dirty-map',
    'primary take-dirty-map',
    'primary plan',
    'primary send resume',
    'agent cut',
    'agent send ready',
    'primary established',
    'agent established',
  ])
  assert.equal(established, 2)
})

test('a fresh agent, a foreign replica and a refusal each end as they must', () => {
  assert.equal(
    converse(
      { ...facts, group: null, slink: null, epoch: 0 },
      { replica: null, mappings: [], dirtyMaps: 0, allDirty: false },
    ).established,
    2,
  )
  const foreign = converse(facts, {
    ...standing,
    dirtyMaps: 0,
    replica: { ...welcome.replica!, logId: 'ffffffffffffffff' },
  })
  assert.ok(foreign.transcript.includes('agent start-over'))
  assert.equal(foreign.established, 2)
  const refused = converse({ ...facts, epoch: 9 }, standing)
  assert.deepEqual(refused.transcript, [
    'primary send hello',
    'agent refuses: older-epoch',
    'primary refused by peer: older-epoch',
  ])
})
