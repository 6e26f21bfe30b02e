/** Every checker, by the promise of the design that it is about. */
import type { MakeChecker } from './checker.js'
import { answersChecker } from './answers.js'
import { causesChecker } from './causes.js'
import { countersChecker } from './counters.js'
import { coverChecker } from './cover.js'
import { equalChecker } from './equal.js'
import { keptChecker } from './kept.js'
import { memoryChecker } from './memory.js'
import { orderChecker } from './order.js'
import { verifyChecker } from './verify.js'

/** Reads are judged where they are made (`actions/reads.ts`), progress where something is waited for. */
export const CHECKERS: readonly MakeChecker[] = [
  orderChecker,
  keptChecker,
  coverChecker,
  answersChecker,
  countersChecker,
  memoryChecker,
  causesChecker,
  equalChecker,
  verifyChecker,
]
