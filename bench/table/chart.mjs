/**
 * The goals as a picture: each ratio as min, median and max on a logarithmic axis, beside the value that is wanted.
 *
 * Pure: it answers the text of an SVG that needs no font, style or script from elsewhere and is readable on any background.
 */
import { ratioText } from '../lib/figures.mjs'

const ROW = 34
const LABELS = 520
const AXIS = 420
const RIGHT = 150
const TOP = 64
const BOTTOM = 52
const colours = { reached: '#1a7f37', missed: '#b35900', goal: '#57606a', line: '#d0d7de', text: '#1f2328' }

/** `goals` as judged; `subtitle` is a line below the title. */
export function goalsChart(goals, subtitle) {
  const measured = goals.filter(({ ratio }) => ratio !== null)
  const values = measured.flatMap(({ ratio, value }) => [ratio.min, ratio.max, value]).filter((value) => value > 0)
  const low = 10 ** Math.floor(Math.log10(Math.min(0.5, ...values)))
  const high = 10 ** Math.ceil(Math.log10(Math.max(2, ...values)))
  const x = (value) => LABELS + (AXIS * Math.log10(Math.max(value, low) / low)) / Math.log10(high / low)
  const width = LABELS + AXIS + RIGHT
  const height = TOP + ROW * measured.length + BOTTOM
  const bottom = TOP + ROW * measured.length
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    label(16, 26, 'Sitelink beside its peers: ratios of one run, and what is wanted', { size: 16, weight: 'bold' }),
    label(16, 46, subtitle, { colour: colours.goal }),
    ...ticks(low, high).map((value) => tick(x(value), value, bottom)),
    ...measured.map((goal, at) => row(goal, TOP + ROW * at + ROW / 2, x)),
    label(
      16,
      height - 12,
      'bar: min to max of the rounds, dot: median, upright: what is wanted, arrow: the better side',
      {
        colour: colours.goal,
      },
    ),
    '</svg>',
    '',
  ].join('\n')
}

function row({ what, contender, reference, bound, value, ratio, reached }, y, x) {
  const colour = reached ? colours.reached : colours.missed
  const atLeast = bound === '>='
  const goalX = round(x(value))
  const tip = goalX + (atLeast ? 8 : -8)
  return [
    label(16, y - 3, what),
    label(16, y + 11, `${contender} / ${reference}, wanted ${bound} ${ratioText(value)}`, {
      size: 11,
      colour: colours.goal,
    }),
    line(goalX, y - 12, goalX, y + 12, colours.goal, 2),
    `<path d="M${goalX} ${y - 12} L${tip} ${y - 8} L${goalX} ${y - 4} Z" fill="${colours.goal}"/>`,
    line(x(ratio.min), y, x(ratio.max), y, colour, 5),
    `<circle cx="${round(x(ratio.median))}" cy="${y}" r="6" fill="${colour}"/>`,
    label(LABELS + AXIS + 16, y + 4, `${ratioText(ratio.median)} ${reached ? 'reached' : 'not reached'}`, { colour }),
  ].join('\n')
}

function ticks(low, high) {
  const found = []
  for (let decade = low; decade <= high; decade *= 10) {
    for (const step of [1, 2, 5]) if (decade * step <= high * 1.001) found.push(decade * step)
  }
  return found
}

function tick(x, value, bottom) {
  const dark = Math.abs(value - 1) < 1e-9
  return [
    line(x, TOP, x, bottom, dark ? colours.goal : colours.line, 1),
    `<text x="${round(x)}" y="${bottom + 16}" text-anchor="middle" font-size="11" fill="${colours.goal}">${Number(value.toPrecision(2))}</text>`,
  ].join('\n')
}

function line(x1, y1, x2, y2, colour, width) {
  const [a, b, c, d] = [x1, y1, x2, y2].map(round)
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" stroke="${colour}" stroke-width="${width}" stroke-linecap="round"/>`
}

function label(x, y, text, { size = 13, weight = 'normal', colour = colours.text } = {}) {
  const safe = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}" fill="${colour}">${safe}</text>`
}

function round(value) {
  return Math.round(value * 10) / 10
}
