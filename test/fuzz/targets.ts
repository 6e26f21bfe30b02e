/** Every fuzz target, by name; each makes what it needs when it is asked for. */
import type { Target } from './engine/target.js'
import { controlMessageTarget } from './targets/control-message.js'
import { frameScannerTarget } from './targets/frame-scanner.js'
import { ringLogTarget } from './targets/ring-log.js'
import { sessionTarget } from './targets/session.js'

export const targets: Readonly<Record<string, () => Target | Promise<Target>>> = {
  'frame-scanner': frameScannerTarget,
  'control-message': controlMessageTarget,
  session: sessionTarget,
  'ring-log': ringLogTarget,
}
