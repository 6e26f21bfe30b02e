/**
 * What the links of a storm go over in which round: both over another carrier, and over others in the next round.
 *
 * A pure function of the order and the round: a storm of as many rounds as there are carriers takes each slink over several
 * of them, and two rounds take some slink over each of four.
 */
import type { LinkScheme } from '../support/carriers.js'

/** What slinks 1 and 2 go over in a round; rounds count from 1. */
export function carriersOf(order: readonly LinkScheme[], round: number): readonly [LinkScheme, LinkScheme] {
  const first = 2 * (round - 1)
  // Once all were there the pairs and the slinks shift by one.
  const shift = Math.floor(first / order.length)
  const at = (place: number): LinkScheme => order[(first + shift + place) % order.length] ?? 'tcp'
  return [at(0), at(1)]
}
