// `npm run drills`: every drill but the soak, the hour of attack, the half hour of faults and the mutations, one after
// another. With `--quick` the short forms, as CI runs them.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const DRILLS = [
  'kill',
  'database',
  'embedded',
  'overload',
  'late-writes',
  'clients',
  'keys-limits',
  'rolling',
  'proxies',
  // The long forms take an hour and half an hour, so they are not part of this run.
  ...(process.argv.includes('--quick') ? ['attack', 'faults'] : [])
]

const failed = DRILLS.filter((name) => {
  const file = fileURLToPath(new URL(`${name}.js`, import.meta.url))
  const begun = performance.now()
  const { status } = spawnSync(process.execPath, [file, ...process.argv.slice(2)], { stdio: 'inherit' })
  console.log(`${name}: ${status === 0 ? 'passed' : 'FAILED'} in ${Math.round((performance.now() - begun) / 1000)} s\n`)
  return status !== 0
})
console.log(failed.length === 0 ? 'Every drill passed' : `Failed: ${failed.join(', ')}`)
process.exit(failed.length === 0 ? 0 : 1)
