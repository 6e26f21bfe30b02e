/** A promise that was broken, by the name of the checker that saw it. Anything else that is thrown is a fault as well. */
export class Violation extends Error {
  constructor(
    readonly checker: string,
    message: string,
  ) {
    super(`[${checker}] ${message}`)
  }
}

/** Ends the life if `holds` is false. `message` is made only then. */
export function demand(checker: string, holds: boolean, message: () => string): void {
  if (!holds) throw new Violation(checker, message())
}
