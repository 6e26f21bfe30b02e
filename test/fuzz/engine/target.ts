/**
 * What a fuzz target is: one parser that meets a stranger, as a function from bytes to a word that says what came.
 *
 * Owns the interface and the failure that an oracle throws. A target never catches what it does not expect: anything
 * thrown out of `feed` is a finding. It says more than "it did not crash": what it accepts is held to what accepted
 * bytes must be, and what it refuses to the documented ways of refusing.
 */
import type { Prng } from '@sitelink/storage/testing'

export interface Target {
  /** Kebab-case; the folder of its corpus. */
  readonly name: string
  /** Bytes that the parser takes, from which mutations start. */
  readonly seeds: readonly Buffer[]
  /** Inputs in a bounded run. */
  readonly iterations: number
  /** Inputs are cut to so many bytes. */
  readonly bytesMax: number
  /** Words of the format, put in at random places. */
  readonly tokens?: readonly Buffer[]
  /** Bytes of buffers that feeding may allocate: lengths are looked at before memory is taken. */
  readonly allocationBytesMax: (input: Buffer) => number
  /** Mutations that know the format; used as often as those that do not. */
  readonly mutate?: (input: Buffer, prng: Prng) => Buffer
  /** Makes lengths and checksums true again, so that a mutation gets past them. */
  readonly repair?: (input: Buffer, prng: Prng) => Buffer
  /** Feeds; answers what came, one of a few words. Throws where an oracle is broken. */
  readonly feed: (input: Buffer) => string | Promise<string>
  /** Gives back what it holds. */
  readonly close?: () => Promise<void>
}

/** An oracle was broken: the input shows a defect. */
export class Finding extends Error {
  override readonly name = 'Finding'
}

/** Throws a {@link Finding} unless `condition` holds. */
export function hold(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new Finding(sentence)
}

/** `value` in a few words for a message. */
export function brief(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  return text.length > 200 ? `${text.slice(0, 200)}...` : text
}
