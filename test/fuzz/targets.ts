/** Every fuzz target, by name; each makes what it needs when it is asked for. */
import type { Target } from './engine/target.js'
import { agentPeerTarget } from './targets/agent-peer.js'
import { controlHttpTarget } from './targets/control-http.js'
import { controlMessageTarget } from './targets/control-message.js'
import { controlVerbsTarget } from './targets/control-verbs.js'
import { dirtyLogTarget } from './targets/dirty-log.js'
import { dmWordsTarget } from './targets/dm-words.js'
import { frameScannerTarget } from './targets/frame-scanner.js'
import { nbdClientTarget } from './targets/nbd-client.js'
import { nbdServerTarget } from './targets/nbd-server.js'
import { primaryPeerTarget } from './targets/primary-peer.js'
import { ringLogTarget } from './targets/ring-log.js'
import { sessionTarget } from './targets/session.js'
import { stateFilesTarget } from './targets/state-files.js'

export const targets: Readonly<Record<string, () => Target | Promise<Target>>> = {
  'frame-scanner': frameScannerTarget,
  'control-message': controlMessageTarget,
  session: sessionTarget,
  'ring-log': ringLogTarget,
  'dirty-log': dirtyLogTarget,
  'nbd-server': nbdServerTarget,
  'nbd-client': nbdClientTarget,
  'state-files': stateFilesTarget,
  'control-http': controlHttpTarget,
  'control-verbs': controlVerbsTarget,
  'dm-words': dmWordsTarget,
  'agent-peer': agentPeerTarget,
  'primary-peer': primaryPeerTarget,
}
