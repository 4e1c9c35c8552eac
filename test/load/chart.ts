/** A line of a plot; `earlier` is the same of the run that is compared with. */
export interface Line {
  points: { x: number; y: number }[]
  earlier?: boolean
}

export interface Plot {
  title: string
  unit: string
  colour: 'rate' | 'latency'
  lines: Line[]
  /** The ends of the x axis. */
  range: [number, number]
  /** Marks of the x axis, with what is written there. */
  marks: { x: number; text: string }[]
  /** Fills what is under the line. */
  area?: boolean
}

// About as many pixels as it gets on a telephone and in a third of a desktop's page, so that the text keeps its size.
const WIDTH = 360
const HEIGHT = 190
const LEFT = 46
const RIGHT = 8
const TOP = 10
const BOTTOM = 22

/** A step of 1, 2 or 5 times a power of ten, of which about `count` make `max`. */
export function step(max: number, count: number): number {
  const power = 10 ** Math.floor(Math.log10(max / count))
  return power * ([1, 2, 5].find((times) => power * times * count >= max) ?? 10)
}

/** A round number. */
export const short = (value: number) => value.toLocaleString('en-US', { maximumSignificantDigits: 4 })

/** Draws lines from zero upwards, as an SVG that takes its colours from the page. */
export function plot({ title, unit, colour, lines, range: [from, to], marks, area }: Plot): string {
  const points = lines.flatMap((line) => line.points)
  const highest = Math.max(...points.map(({ y }) => y)) || 1
  const by = step(highest, 4)
  const top = Math.ceil(highest / by) * by
  const across = (x: number) => LEFT + ((x - from) / (to - from)) * (WIDTH - LEFT - RIGHT)
  const up = (y: number) => HEIGHT - BOTTOM - (y / top) * (HEIGHT - TOP - BOTTOM)
  const at = (x: number, y: number) => `${across(x).toFixed(1)},${up(y).toFixed(1)}`

  const rows = Array.from({ length: Math.round(top / by) + 1 }, (_, i) => i * by)
  const grid = rows.map(
    (y) => `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${up(y)}" y2="${up(y)}"/>
      <text x="${LEFT - 6}" y="${up(y) + 4}" text-anchor="end">${short(y)}</text>`
  )
  const scale = marks
    .filter(({ x }) => x >= from && x <= to)
    .map(({ x, text }) => {
      const anchor = across(x) > WIDTH - 24 ? 'end' : 'middle'
      return `<line class="grid" x1="${across(x)}" x2="${across(x)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>
      <text x="${across(x)}" y="${HEIGHT - 6}" text-anchor="${anchor}">${text}</text>`
    })
  // The earlier run lies under the new one.
  const drawn = lines
    .toSorted((a, b) => Number(b.earlier ?? false) - Number(a.earlier ?? false))
    .map(({ points, earlier }) => {
      const path = points.map(({ x, y }) => at(x, y)).join(' ')
      const [first, last] = [points[0]?.x ?? 0, points.at(-1)?.x ?? 0]
      const filled = area && !earlier ? `<polygon points="${at(first, 0)} ${path} ${at(last, 0)}"/>` : ''
      return `${filled}<polyline class="${earlier ? 'earlier' : 'now'}" points="${path}"/>`
    })
  return `<figure class="${colour}">
    <figcaption>${title} <small>${unit}</small></figcaption>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">
      ${[...grid, ...scale, ...drawn].join('\n      ')}
    </svg>
  </figure>`
}
