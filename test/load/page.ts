import { plot, short, step } from './chart.ts'
import {
  differences,
  earlierOf,
  type Figure,
  figuresOf,
  NOISE,
  type Report,
  type Result,
  ratio,
  unexpectedIn,
  written
} from './report.ts'

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const escaped = (text: string) => text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? '')

const count = (value: number) => value.toLocaleString('en-US')
const percent = (share: number) => `${Math.round(share * 100)} %`

function ratioOf(figure: Figure, result: Result, before: Result | undefined): string {
  const times = ratio(figure, result, before)
  if (times === undefined) return ''
  const better = figure.moreIsBetter ? times > 1 : times < 1
  const kind = Math.abs(Math.log(times)) <= Math.log(figure.noise ?? NOISE) ? 'same' : better ? 'better' : 'worse'
  return `<span class="ratio ${kind}">${times.toFixed(2)}×</span>`
}

const idOf = ({ name }: Result) => escaped(name.replaceAll(' ', '-'))

function summary(report: Report, earlier: Report | undefined): string {
  const fastest = Math.max(...report.scenarios.map(({ rate }) => rate))
  const cell = (figure: Figure, result: Result, i: number) => {
    const share = i === 0 ? ` style="--share:${((100 * result.rate) / (fastest || 1)).toFixed(0)}%"` : ''
    const kind = [figure.minor && 'minor', i === 0 && 'bar', figure.count && result.unexpected > 0 && 'bad']
    const text = written(figure.of(result), figure.count) + ratioOf(figure, result, earlierOf(earlier, result.name))
    return `<td class="${kind.filter(Boolean).join(' ')}"${share}>${text}</td>`
  }
  const figures = figuresOf(report)
  const heads = figures.map(
    ({ name, unit, minor }) => `<th scope="col"${minor ? ' class="minor"' : ''}>${name}<small>${unit}</small></th>`
  )
  const rows = report.scenarios.map(
    (result) => `<tr><th scope="row"><a href="#${idOf(result)}">${escaped(result.name)}</a></th>
      ${figures.map((figure, i) => cell(figure, result, i)).join('')}</tr>`
  )
  return `<div class="scroll"><table><thead><tr><th></th>${heads.join('')}</tr></thead>
    <tbody>${rows.join('\n')}</tbody></table></div>`
}

/** A percentile, where each nine more is as far from the one before: 0, 90, 99, 99.9. */
const nines = (percentile: number) => -Math.log10(1 - percentile / 100)

function plots(result: Result, before: Result | undefined): string {
  const both = (points: (of: Result) => { x: number; y: number }[]) => [
    { points: points(result) },
    ...(before === undefined ? [] : [{ points: points(before), earlier: true }])
  ]
  const end = result.seconds
  const every = step(end, 5)
  const marks = Array.from({ length: Math.floor(end / every + 0.001) + 1 }, (_, i) => ({
    x: i * every,
    text: `${short(i * every)} s`
  }))
  const overTime = { range: [0, Math.max(end, before?.seconds ?? 0)] as [number, number], marks }
  const highest = Math.max(...[result, before].flatMap((of) => of?.percentiles.map(({ percent }) => percent) ?? []))
  return [
    plot({
      title: 'Latency distribution',
      unit: 'ms, by percentile',
      colour: 'latency',
      lines: both(({ percentiles }) => percentiles.map(({ percent, ms }) => ({ x: nines(percent), y: ms }))),
      range: [0, nines(highest)],
      marks: [50, 90, 99, 99.9, 99.99].map((x) => ({ x: nines(x), text: `${x} %` }))
    }),
    plot({
      title: 'Requests/s',
      unit: 'over time',
      colour: 'rate',
      area: true,
      lines: both(({ overTime }) => overTime.map(({ second, rate }) => ({ x: second, y: rate }))),
      ...overTime
    }),
    plot({
      title: 'p99',
      unit: 'ms, over time',
      colour: 'latency',
      lines: both(({ overTime }) => overTime.map(({ second, p99 }) => ({ x: second, y: p99 }))),
      ...overTime
    })
  ].join('\n')
}

function card(result: Result, before: Result | undefined): string {
  const { name, about, requests, seconds, busy, statuses, faults } = result
  const load = [
    busy.service !== null && `service ${percent(busy.service)}`,
    busy.postgres !== null && `PostgreSQL ${percent(busy.postgres)}`,
    `load generator ${percent(busy.generator)}`
  ]
  const answers = Object.entries(statuses).map(([status, times]) => `${count(times)} × ${status}`)
  return `<section id="${idOf(result)}">
    <h2>${escaped(name)} <small>${escaped(about)}</small></h2>
    <p class="facts">${count(requests)} requests in ${written(seconds)} s · of a core: ${load.filter(Boolean).join(', ')}
      · with the warm-up ${answers.join(', ')}</p>
    ${faults.map((fault) => `<p class="bad">${escaped(fault)}</p>`).join('')}
    <div class="plots">${plots(result, before)}</div>
  </section>`
}

const STYLE = `
:root { color-scheme: light dark;
  --back: light-dark(#f6f7f9, #14171c); --card: light-dark(#fff, #1c2027); --text: light-dark(#1b2330, #e6e9ef);
  --dim: light-dark(#5c6675, #98a2b3); --line: light-dark(#e3e7ec, #2d333d); --rate: light-dark(#2563c9, #6ea8fe);
  --latency: light-dark(#b4530a, #f2a65a); --good: light-dark(#157347, #5fd38d); --bad: light-dark(#b42318, #ff8a80); }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 78rem; padding: 1.5rem; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums }
h1 { margin: 0; font-size: 1.5rem } h2 { margin: 0; font-size: 1.15rem }
small, .facts { color: var(--dim); font-size: .85rem; font-weight: 400 }
header p { margin: .25rem 0 } .facts { margin: .15rem 0 .75rem }
.verdict { font-weight: 600; color: var(--good) } .bad, .verdict.bad { color: var(--bad); overflow-wrap: anywhere }
section, .scroll { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; margin-top: 1rem }
section { padding: 1rem 1.25rem } .scroll { overflow-x: auto; padding: .5rem }
table { width: 100%; border-collapse: collapse } th small { display: block }
th, td { padding: .4rem .6rem; text-align: right; white-space: nowrap; vertical-align: baseline }
thead th { vertical-align: bottom; font-size: .85rem } tbody tr { border-top: 1px solid var(--line) }
tbody th { text-align: left } a { color: inherit; text-decoration-color: var(--dim) }
.bar { background: linear-gradient(color-mix(in srgb, var(--rate) 22%, transparent) 0 0) no-repeat 0 50% / var(--share) 70% }
.ratio { display: block; font-size: .8rem; color: var(--dim) } .better { color: var(--good) } .worse { color: var(--bad) }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem }
figure { margin: 0 } figcaption { font-weight: 600; font-size: .9rem } svg { display: block; width: 100% }
svg text { fill: var(--dim); font-size: 11px } .grid { stroke: var(--line) }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round } .earlier { stroke: var(--dim); stroke-dasharray: 5 4 }
.rate .now { stroke: var(--rate) } .latency .now { stroke: var(--latency) } polygon { fill: var(--rate); opacity: .15 }
@media (max-width: 45rem) { body { padding: .75rem } .minor { display: none } th, td { padding: .4rem .35rem }
  section { padding: .75rem } }
`

/** The report as a page that needs nothing else: no script, no request. */
export function page(report: Report, earlier?: Report): string {
  const { settings, start } = report
  const unexpected = unexpectedIn(report)
  const answers = report.scenarios.flatMap(({ statuses }) => Object.values(statuses))
  const total = count(answers.reduce((sum, times) => sum + times, 0))
  const verdict =
    unexpected === 0
      ? `<p class="verdict">✓ All ${total} answers as expected, and each the caller's own</p>`
      : `<p class="verdict bad">✗ ${count(unexpected)} of ${total} answers not as expected</p>`
  const facts = [
    settings.url ?? `Rowkeeper ${report.version} on ${report.database}`,
    `${count(settings.users)} users × ${settings.items} ${settings.resource}`,
    `${settings.connections} connections, ${settings.seconds} s a scenario`,
    start === null ? '' : `ready after ${written(start.readyMs)} ms, ${written(start.memory)} MB at rest`
  ]
  const where = [`${report.at.slice(0, 16).replace('T', ' ')} UTC`, report.machine, `Node ${report.node}`]
  const notes = [
    ...report.notes,
    ...(earlier === undefined
      ? []
      : [
          `Compared with the run of ${earlier.at.slice(0, 16).replace('T', ' ')} UTC, version ${earlier.version}: dashed lines, and
          under each figure how many times the earlier one it is.`,
          ...differences(report, earlier).map((fact) => `Not the same in both runs: ${fact}`)
        ])
  ]
  const dotted = (texts: string[]) =>
    texts
      .filter((text) => text !== '')
      .map(escaped)
      .join(' · ')
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Load report</title>
<style>${STYLE}</style>
<header>
  <h1>Load report</h1>
  ${verdict}
  <p>${dotted(facts)}</p>
  <p class="facts">${dotted(where)}</p>
</header>
${summary(report, earlier)}
${notes.map((note) => `<p class="facts">${escaped(note)}</p>`).join('\n')}
${report.scenarios.map((result) => card(result, earlierOf(earlier, result.name))).join('\n')}
</html>
`
}
