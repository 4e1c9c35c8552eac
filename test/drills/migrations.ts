import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { MIGRATIONS, versionsOf } from '../../src/db/migrate.ts'

// Several instances that start at once on a new database, each migrating it first: every one succeeds, and every
// migration is applied once. TEST_DATABASE_URL is an administrator's.
const ROUNDS = 5
const INSTANCES = 3

const server = process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const command = fileURLToPath(new URL('../../src/commands/main.js', import.meta.url))
const { application, system } = versionsOf(MIGRATIONS)
const expected = application.length + system.length

async function migrate(url: string): Promise<string> {
  const child = spawn(process.execPath, [command, 'migrate'], { env: { ...process.env, DATABASE_URL: url } })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const [code] = await once(child, 'close')
  return code === 0 ? '' : output
}

const admin = postgres(server, { max: 1, onnotice: () => {} })
let failed = 0
for (let round = 1; round <= ROUNDS; round++) {
  const name = `rowkeeper_drill_${process.pid}_${round}`
  await admin.unsafe(`create database ${name}`)
  const { href } = Object.assign(new URL(server), { pathname: `/${name}` })
  const faults = await Promise.all(Array.from({ length: INSTANCES }, () => migrate(href)))
  const client = postgres(href, { max: 1 })
  const [row] = await client`
    select (select count(*) from drizzle.rowkeeper_migrations)::int
      + (select count(*) from drizzle.rowkeeper_system_migrations)::int as applied`
  await client.end()
  await admin.unsafe(`drop database ${name} with (force)`)
  const told = faults.filter((fault) => fault !== '')
  const good = told.length === 0 && row?.applied === expected
  if (!good) failed++
  console.log(`${good ? 'ok' : 'NOT OK'} round ${round}: ${row?.applied} of ${expected} applied`, ...told)
}
await admin.end()
console.log(`${ROUNDS - failed} of ${ROUNDS} rounds: ${INSTANCES} instances migrate a new database at once`)
process.exit(failed === 0 ? 0 : 1)
