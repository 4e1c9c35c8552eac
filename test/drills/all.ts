// `npm run drills`: every drill but the soak, the hour of attack, the half hour of faults and the mutations, one after
// another. With `--quick` the short forms, as CI runs them: those that mostly wait two at a time.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const isQuick = process.argv.includes('--quick')

/** These use the processors fully. */
const ALONE = ['overload', 'embedded']

// The order is one in which two at a time end together.
const WAITING = [
  // The long forms of these two take half an hour and an hour, so they are part of the short run only.
  ...(isQuick ? ['faults', 'attack'] : []),
  'late-writes',
  'clients',
  'database',
  'keys-limits',
  'rolling',
  'kill',
  'proxies'
]

const failed: string[] = []

/** Runs a drill, and prints what it printed when it has ended. */
async function run(name: string): Promise<void> {
  const file = fileURLToPath(new URL(`${name}.js`, import.meta.url))
  const begun = performance.now()
  const drill = spawn(process.execPath, [file, ...process.argv.slice(2)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [printed, [status]] = await Promise.all([text(drill.stdout), once(drill, 'exit')])
  if (status !== 0) failed.push(name)
  const seconds = Math.round((performance.now() - begun) / 1000)
  console.log(`${printed}${name}: ${status === 0 ? 'passed' : 'FAILED'} in ${seconds} s\n`)
}

async function runAll(names: Iterable<string>): Promise<void> {
  for (const name of names) await run(name)
}

await runAll(ALONE)
// Those that share the iterator share the work.
const left = WAITING.values()
await Promise.all(Array.from({ length: isQuick ? 2 : 1 }, () => runAll(left)))
console.log(failed.length === 0 ? 'Every drill passed' : `Failed: ${failed.join(', ')}`)
process.exit(failed.length === 0 ? 0 : 1)
