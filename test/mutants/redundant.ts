/**
 * Steps that look as if something became durable only by them, and nothing does: no test can tell whether they are there.
 *
 * Each is named with the file and the reason why it may stay. A step without such a reason belongs into the table.
 */
export const REDUNDANT: readonly { readonly step: string; readonly file: string; readonly why: string }[] = []
