// `npm run check:driver`: the faults of postgres.js that our code answers, each by a program of its own. It fails when
// one is gone, because then some of our code can go too.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const FAULTS = [
  'stale-plan',
  'bad-parameter',
  'boolean-text',
  'error-close',
  'never-ready',
  'several-hosts',
  'overtaking',
  'begin-full',
  'begin-lost',
  'socket-listener',
  'connect-timeout',
  'holes',
  'pool-queues',
  'minor-gc'
]
const LIMIT_MS = 20_000
const AT_ONCE = 2

interface Found {
  state: 'exists' | 'gone' | 'could not be run'
  seen: string
}

/** Runs a program. One that says nothing could not be run, because Node also exits with 1 when it cannot load one. */
const run = (fault: string): Promise<Found> =>
  new Promise((resolve) => {
    const file = fileURLToPath(new URL(`${fault}.js`, import.meta.url))
    execFile(process.execPath, [file], { timeout: LIMIT_MS }, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code
      const state =
        stdout === '' ? 'could not be run' : code === 1 ? 'exists' : code === 0 ? 'gone' : 'could not be run'
      resolve({ state, seen: (stdout || stderr || `it takes more than ${LIMIT_MS} ms`).trim() })
    })
  })

const found = new Map<string, Found>()
const waiting = [...FAULTS]
const next = async () => {
  for (let fault = waiting.shift(); fault !== undefined; fault = waiting.shift()) found.set(fault, await run(fault))
}
await Promise.all(Array.from({ length: AT_ONCE }, next))

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.resolve('postgres')), 'utf8'))
console.log('| fault | state |\n| --- | --- |')
for (const fault of FAULTS) console.log(`| ${fault} | ${found.get(fault)?.state}: ${found.get(fault)?.seen} |`)
const others = FAULTS.filter((fault) => found.get(fault)?.state !== 'exists')
for (const fault of others) {
  if (found.get(fault)?.state !== 'gone') console.error(`${fault} could not be run`)
  else console.error(`${fault} is gone in postgres.js ${version}: see its first lines for what can be deleted`)
}
process.exit(others.length === 0 ? 0 : 1)
